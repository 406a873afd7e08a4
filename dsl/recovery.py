"""Recovery: the clauses of a text that does not parse as a whole.

It is cut into units by indentation: a line, and the lines indented deeper than it. A unit that
parses is kept; one that does not is split into its head and the units of its body; one that cannot
be split is one error and a hole. So a missing bracket costs its own line.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dsl.automaton import TABLE, Stuck, run
from dsl.build import builders
from dsl.diagnostics import Problem
from dsl.layout import Line, cut
from dsl.source import Span
from dsl.syntax import (
    MAXIMUM_ERRORS,
    MAXIMUM_NESTING,
    Limit,
    MissingBrace,
    Unclosed,
    UnclosedText,
    Unexpected,
    UnknownCharacter,
    Unopened,
    describe_expected,
    describe_found,
)
from dsl.tokens import (
    CLOSING,
    CONTINUES,
    END,
    JUNK,
    NEWLINE,
    OPEN_TEXT,
    OPENING,
    Token,
    join_lines,
)
from dsl.tree import Block, Clause, Component, Hole, Let, Name, Path, Refine, Replace

SIGNS: Final = {"LBRACE": "{", "LPAR": "(", "LSQB": "[", "RBRACE": "}", "RPAR": ")", "RSQB": "]"}


class Recovery:
    """Recovers the clauses of one file that does not parse as a whole."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: dict[Problem, None] = {}  # ordered, each once
        self.depth = 0

    def units(self, lines: Sequence[Line], stuck: int | None = None) -> list[Clause]:
        """The clauses of a body. `stuck`: a token known to make its unit fail, so that no unit
        is parsed at more than two levels."""
        clauses: list[Clause] = []
        self.depth += 1
        for unit in cut(lines):
            if len(self.problems) > MAXIMUM_ERRORS or self.depth > MAXIMUM_NESTING:
                clauses += self.given_up(unit)
                break
            tokens = [token for line in unit for token in line.tokens]
            known = stuck is not None and tokens[0].start <= stuck <= tokens[-1].end
            # Only a body is split without a try: other lines may well parse by themselves.
            clauses += self.unit(unit, stuck if known and unit[0].opens_body() else None)
        self.depth -= 1
        return clauses

    def given_up(self, lines: Sequence[Line]) -> list[Clause]:
        """More errors than anybody reads, or lines indented deeper than anybody writes."""
        if self.depth > MAXIMUM_NESTING:
            span = self.span(lines[0].words[0])
            limit = f"{MAXIMUM_NESTING} inside each other"
            what, instead = "lines are indented too deep", "indent this line less"
            self.report(Limit(span=span, what=what, limit=limit, instead=instead))
        return [self.gap(lines)]

    def unit(self, lines: Sequence[Line], stuck: int | None) -> list[Clause]:
        if stuck is None:
            made = self.attempt(lines)
            if not isinstance(made, Stuck):
                return made
            stuck = self.place(lines, made)
        head, inner = lines[0], list(lines[1:])
        opened, unopened = head.balance()
        if unopened is not None:
            return [*self.extra(head, unopened), *self.units(inner)]
        if opened and not inner:
            return self.unclosed(head, opened)
        if inner and self.opens_body(head, opened):
            return self.body(head, inner, stuck)
        if inner and not opened and head.words[-1].kind not in CONTINUES:
            return self.unopened_body(head, inner, stuck)
        return self.broken(lines)

    def opens_body(self, head: Line, opened: list[Token]) -> bool:
        """Whether the lines below are the body of this one: it ends with its only open brace. In
        `where (i + 1 {` a bracket is forgotten; `f(g {` has a body inside of brackets."""
        braces = [token for token in opened if token.kind == "LBRACE"]
        if not head.opens_body() or len(braces) != 1:
            return False
        closed = replace(head, tokens=[*head.words, *_closing(opened, head.words[-1].end)])
        return len(opened) == 1 or isinstance(self.attempt([closed], strictly=True), Stuck)

    def extra(self, head: Line, bracket: Token) -> list[Clause]:
        """A line with a closing bracket too many."""
        rest = [token for token in head.tokens if token is not bracket]
        made = self.attempt([replace(head, tokens=rest)])
        if isinstance(made, Stuck):
            return self.broken([head])
        self.report(Unopened(span=self.span(bracket), bracket=bracket.text))
        return made

    def unclosed(self, head: Line, opened: list[Token]) -> list[Clause]:
        """A line that lacks its last closing brackets."""
        closing = _closing(opened, head.words[-1].end)
        made = self.attempt([replace(head, tokens=[*head.words, *closing])])
        if isinstance(made, Stuck):
            return self.broken([head])
        self.report_unclosed(opened[-1])
        return made

    def report_unclosed(self, bracket: Token) -> None:
        closing = SIGNS[OPENING[bracket.kind]]
        self.report(Unclosed(span=self.span(bracket), bracket=bracket.text, closing=closing))

    def body(self, head: Line, inner: list[Line], stuck: int) -> list[Clause]:
        """A head that ends with `{` and the lines of its body."""
        brace = head.words[-1]
        inner = self.close(head, inner, brace)
        clauses = self.units(inner, stuck)
        closing = Token("RBRACE", "}", brace.end, brace.end)
        made = self.attempt([replace(head, tokens=[*head.words, closing])])
        if isinstance(made, Stuck):
            self.explain(list(head.words), made)
            return self.headless(head, tuple(clauses))
        return [_with_body(made[0], tuple(clauses))]

    def headless(self, head: Line, clauses: tuple[Clause, ...]) -> list[Clause]:
        """The body of a head that does not parse, under the name the head starts with."""
        match self.hole(head):
            case [Block() as block]:
                return [replace(block, body=(*block.body, *clauses))]
            case [Replace(path, Hole() as hole, span), *_] if head.words[1].kind != "EQUAL":
                return [Refine(path, hole, clauses, span)]
            case holes:
                return holes

    def close(self, head: Line, inner: list[Line], brace: Token | None) -> list[Line]:
        """Drop the line that closes the body; report what closes it never or twice."""
        closers = [line for line in inner if line.indent <= head.indent]
        if not closers and brace is not None:
            self.report_unclosed(brace)
        for line in closers if brace is None else closers[1:]:
            bracket = line.words[0]
            self.report(Unopened(span=self.span(bracket), bracket=bracket.text))
        rest = [replace(line, tokens=line.words[1:], indent=head.indent + 1) for line in closers]
        after = [line for line in rest if line.words]
        return [line for line in inner if line not in closers] + after

    def unopened_body(self, head: Line, inner: list[Line], stuck: int) -> list[Clause]:
        """Lines indented under a head without `{`."""
        closes = any(line.indent <= head.indent for line in inner)
        alone = self.attempt([head])
        brace = Token("LBRACE", "{", head.words[-1].end, head.words[-1].end)
        opened = replace(head, tokens=[*head.words, brace, brace._replace(kind="RBRACE")])
        made = self.attempt([opened], strictly=True)
        if isinstance(made, Stuck) and closes:
            # The line that opens this body is missing: the body has no place to go.
            self.close(head, inner, None)
            return [*(alone if not isinstance(alone, Stuck) else self.hole(head)), self.gap(inner)]
        if not isinstance(made, Stuck) and (closes or isinstance(alone, Stuck)):
            self.report(MissingBrace(span=self.span(head.words[0], head.words[-1])))
            inner = [line for line in inner if line.indent > head.indent]
            return [_with_body(made[0], tuple(self.units(inner)))]
        if isinstance(alone, Stuck):
            self.explain(list(head.words), alone)
            alone = self.hole(head)
        return [*alone, *self.units(self.close(head, inner, None), stuck)]

    def attempt(self, lines: Sequence[Line], strictly: bool = False) -> list[Clause] | Stuck:
        """Parse lines as clauses. `strictly`: complaints of the builders are failures too."""
        tokens = join_lines([token for line in lines for token in line.tokens])
        while tokens and tokens[-1].kind in (NEWLINE, "COMMA"):
            tokens.pop()
        complaints: list[Problem] = []
        made = run("file", tokens, builders(self.path, complaints))
        if isinstance(made, Stuck):
            return made
        if strictly and complaints:
            return Stuck(0, frozenset())
        self.problems.update(dict.fromkeys(complaints))
        return list(made[0].clauses)

    def broken(self, lines: Sequence[Line]) -> list[Clause]:
        """Lines that cannot be split: one error and a hole."""
        made = self.attempt(lines)
        if not isinstance(made, Stuck):
            return made
        self.explain(join_lines([token for line in lines for token in line.tokens]), made)
        return self.hole(lines[0])

    def place(self, lines: Sequence[Line], stuck: Stuck) -> int:
        tokens = join_lines([token for line in lines for token in line.tokens])
        return tokens[min(stuck.index, len(tokens) - 1)].start

    def explain(self, tokens: Sequence[Token], stuck: Stuck) -> None:
        """One problem for where the automaton is stuck."""
        before = tokens[: stuck.index]
        if stuck.index < len(tokens):
            token = tokens[stuck.index]
        else:
            token = Token(END, "", tokens[-1].end, tokens[-1].end)
        span = self.span(token)
        opened = _opened(before)
        ends = token.kind in (END, NEWLINE)
        if stuck.too_deep:
            self.report(
                Limit(
                    span=span,
                    what="this is nested too deep",
                    limit="32 operations inside each other",
                    instead="name an inner part by a `let`",
                )
            )
        elif token.kind == JUNK:
            self.report(UnknownCharacter(span=span, description=_describe_junk(token.text)))
        elif token.kind == OPEN_TEXT:
            self.report(UnclosedText(span=span))
        elif ends and opened and OPENING[opened[-1].kind] in stuck.expected:
            self.report_unclosed(opened[-1])
        else:
            words = [word for word in before if word.kind != NEWLINE]
            if ends and words:
                span = Span(self.path, words[-1].end, words[-1].end)
            found = "the end of the line" if ends else describe_found(token.kind, token.text)
            expected = describe_expected(stuck.expected, opened[-1].kind if opened else None)
            hint = _hint(tokens, stuck.index)
            self.report(Unexpected(span=span, expected=expected, found=found, hint=hint))

    def gap(self, lines: Sequence[Line]) -> Hole:
        return Hole(self.span(lines[0].words[0], lines[-1].words[-1]))

    def hole(self, line: Line) -> list[Clause]:
        """Holes with the names the line would have had, so that nobody misses the fields."""
        words = line.words
        hole = self.gap([line])
        names = [Name(word.text, self.span(word)) for word in words[:2]]
        match [word.kind for word in words[:2]]:
            case ["NAME", "NAME"]:
                return [Block(names[0], names[1], None, None, (hole,), hole.span)]
            case ["LET", "NAME"]:
                return [Let(names[1], hole, hole.span)]
            case ["NAME", *_]:
                fields = {words[0].text: words[0]}
                for word, after in itertools.pairwise(words):
                    if word.kind == "NAME" and after.kind in ("EQUAL", "LBRACE"):
                        fields.setdefault(word.text, word)
                holes = [self.field_hole(word, hole) for word in fields.values()]
                # With letters amiss the names are not to be trusted.
                odd = any(word.kind in (JUNK, OPEN_TEXT) for word in words)
                return [*holes, hole] if odd else holes
            case _:
                return [hole]

    def field_hole(self, word: Token, hole: Hole) -> Clause:
        name = Name(word.text, self.span(word))
        return Replace(Path((name,), name.span), hole, hole.span)

    def span(self, first: Token, last: Token | None = None) -> Span:
        return Span(self.path, first.start, (last or first).end)

    def report(self, problem: Problem) -> None:
        self.problems.setdefault(problem)


def _with_body(clause: Clause, body: tuple[Clause, ...]) -> Clause:
    """Put recovered lines into the empty body that the head was parsed with."""
    match clause:
        case Block() | Refine():
            return replace(clause, body=body)
        case Replace(value=Component() as value) | Let(value=Component() as value):
            return replace(clause, value=replace(value, body=value.body + body))
        case _:
            return clause


def _closing(opened: Sequence[Token], end: int) -> list[Token]:
    """The brackets that close these."""
    kinds = [OPENING[token.kind] for token in reversed(opened)]
    return [Token(kind, SIGNS[kind], end, end) for kind in kinds]


def _opened(tokens: Sequence[Token]) -> list[Token]:
    """Brackets not closed yet."""
    stack: list[Token] = []
    for token in tokens:
        if token.kind in OPENING:
            stack.append(token)
        elif token.kind in CLOSING and stack:
            stack.pop()
    return stack


def _describe_junk(text: str) -> str:
    shown = text if text.isprintable() else "".join(f"U+{ord(c):04X} " for c in text[:4]).strip()
    return f"`{shown[:20]}`" if text.isprintable() else f"the character {shown}"


def _hint(tokens: Sequence[Token], index: int) -> str | None:
    """What people of other languages type."""
    found = tokens[index] if index < len(tokens) else None
    if found is None:
        return None
    if found.text in TABLE.keywords:
        return f"`{found.text}` is a word of the language and cannot name a field"
    before = tokens[index - 1].kind if index else None
    if found.kind == "LBRACE" and before == "EQUAL":
        return "a body follows the name of what it describes: `optimizer = adamw { ... }`"
    if (found.kind == "EQUAL" and before == "EQUAL") or found.text == "==":
        return "write one `=` for a field, `==` in a comparison"
    if found.kind == "COMPARISON":
        return "a comparison has two sides; join two of them: `a < b and b < c`"
    return None
