"""What each rule of grammar.lark makes: the one place where tokens become tree nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsl.automaton import Builder, Made
from dsl.diagnostics import Problem
from dsl.source import Span
from dsl.syntax import MisplacedBody, WrongEscape
from dsl.tokens import Token
from dsl.tree import (
    Assertion,
    Automatic,
    Block,
    Clause,
    Component,
    Condition,
    File,
    Goal,
    Hole,
    Import,
    Let,
    ListValue,
    Membership,
    Name,
    Negation,
    Nothing,
    Number,
    Operation,
    Path,
    Refine,
    Replace,
    Text,
    Truth,
    Vary,
)

ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def unescape(quoted: str) -> str | None:
    """The text inside the quotes; None where an escape is none of the language's."""
    made: list[str] = []
    characters = iter(quoted[1:-1])
    for character in characters:
        if character == "\\":
            resolved = ESCAPES.get(next(characters, ""))
            if resolved is None:
                return None
            character = resolved
        made.append(character)
    return "".join(made)


def builders(path: str, complaints: list[Problem]) -> Mapping[str, Builder]:
    """The builders of one file. Each gets a rule's meaningful children and what they cover.

    `complaints` gets what the grammar allows and the language does not.
    """

    def span(start: int, end: int) -> Span:
        return Span(path, start, end)

    def name(token: Token) -> Name:
        return Name(token.text, span(token.start, token.end))

    def text(token: Token) -> Text:
        value = unescape(token.text)
        if value is None:
            complaints.append(WrongEscape(span=span(token.start, token.end)))
        return Text(value or "", span(token.start, token.end))

    def build_path(c: list[Made], start: int, end: int) -> Path:
        return Path(tuple(name(token) for token in c), span(start, end))

    def number(c: list[Made], start: int, end: int) -> Number:
        return Number(c[0].text, name(c[1]) if len(c) > 1 else None, span(start, end))

    def component(head: Any, clauses: list[Any], start: int, end: int) -> Component:
        positional = tuple(c for c in clauses if not isinstance(c, Replace))
        named = tuple(c for c in clauses if isinstance(c, Replace))
        return Component(head, positional, named, span(start, end))

    def with_body(c: list[Made], start: int, end: int) -> Made:
        head, body = c
        if isinstance(head, Component):
            return Component(head.head, head.positional, head.body + body, span(start, end))
        if not isinstance(head, Path):
            complaints.append(MisplacedBody(span=head.span))
            return Hole(span(start, end))
        return Component(head, (), body, span(start, end))

    def related(c: list[Made], start: int, end: int) -> Block:
        relation = "extends" if c[2].kind == "EXTENDS" else "of"
        return Block(name(c[0]), name(c[1]), relation, c[3], c[4], span(start, end))

    def clauses(c: list[Made], _start: int, _end: int) -> tuple[Clause, ...]:
        return tuple(c)

    return {
        "file": lambda c, s, e: File(path, tuple(c)),
        "line": lambda c, s, e: c[0],
        "body": clauses,
        "replace": lambda c, s, e: Replace(c[0], c[1], span(s, e)),
        "refine": lambda c, s, e: Refine(c[0], None, c[1], span(s, e)),
        "refine_where": lambda c, s, e: Refine(c[0], c[1], c[2], span(s, e)),
        "block": lambda c, s, e: Block(name(c[0]), name(c[1]), None, None, c[2], span(s, e)),
        "related_block": related,
        "import_file": lambda c, s, e: Import(text(c[0]), name(c[1]), span(s, e)),
        "let": lambda c, s, e: Let(name(c[0]), c[1], span(s, e)),
        "assertion": lambda c, s, e: Assertion(c[0], span(s, e)),
        "goal": lambda c, s, e: Goal(c[0].text, c[1], span(s, e)),
        "vary": lambda c, s, e: Vary(c[0], c[1], span(s, e)),
        "condition": lambda c, s, e: Condition(c[0], span(s, e)),
        "with_body": with_body,
        "automatic": lambda c, s, e: Automatic(c[0] if c else None, span(s, e)),
        "operation": lambda c, s, e: Operation(c[1].text, c[0], c[2], span(s, e)),
        "negation": lambda c, s, e: Negation(c[0].text, c[1], span(s, e)),
        "membership": lambda c, s, e: Membership(c[0], c[1], span(s, e)),
        "call": lambda c, s, e: component(c[0], c[1], s, e),
        "arguments": lambda c, s, e: list(c),
        "parenthesised": lambda c, s, e: c[0],
        "number": number,
        "text": lambda c, s, e: text(c[0]),
        "truth": lambda c, s, e: Truth(c[0].kind == "TRUE", span(s, e)),
        "nothing": lambda c, s, e: Nothing(span(s, e)),
        "path": build_path,
        "list": lambda c, s, e: ListValue(tuple(c), span(s, e)),
    }
