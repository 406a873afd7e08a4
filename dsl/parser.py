"""Text -> tree with holes. A text that is right is parsed in one go; see `recovery` for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsl.automaton import Stuck, run
from dsl.build import builders
from dsl.diagnostics import Problem
from dsl.layout import lines_of
from dsl.recovery import Recovery
from dsl.source import Source, Span
from dsl.syntax import MAXIMUM_NESTING, MAXIMUM_TOKENS, MAXIMUM_WORD, Limit
from dsl.tokens import CLOSING, OPENING, Token, join_lines, tokenize
from dsl.tree import File, Hole


@dataclass(frozen=True)
class Parsed:
    """The tree, with holes where `problems` tell what is wrong."""

    tree: File
    problems: tuple[Problem, ...]


def parse(source: Source) -> Parsed:
    """Parse a file; problems come in the order of the text."""
    tokens = tokenize(source.text, MAXIMUM_TOKENS + 1)
    excess = _excess(source.path, tokens)
    if excess is not None:
        return Parsed(File(source.path, (Hole(_whole(source)),)), (excess,))
    complaints: list[Problem] = []
    joined = join_lines(tokens)
    made = run("file", joined, builders(source.path, complaints))
    if not isinstance(made, Stuck):
        return Parsed(made[0], tuple(complaints))
    recovery = Recovery(source.path)
    clauses = recovery.units(lines_of(source, tokens))
    if not recovery.problems:  # each part is right by itself, and they do not fit together
        recovery.explain(joined, made)
    problems = sorted(recovery.problems, key=lambda p: p.span.start if p.span else 0)
    return Parsed(File(source.path, tuple(clauses)), tuple(problems))


def parse_value(source: Source) -> Parsed:
    """Parse the text of a value alone, as `--set` gives it: the tree is `value = TEXT`."""
    wrapped = Source(source.path, f"value = {source.text}")
    return parse(wrapped)


def _whole(source: Source) -> Span:
    return Span(source.path, 0, len(source.text))


def _excess(path: str, tokens: Sequence[Token]) -> Limit | None:
    """What breaks a limit before parsing starts."""
    if len(tokens) > MAXIMUM_TOKENS:
        token = tokens[MAXIMUM_TOKENS]
        return Limit(
            span=Span(path, token.start, token.end),
            what="the file has too many words and signs",
            limit=f"{MAXIMUM_TOKENS:,}",
            instead="move blocks to a file of their own, and import it",
        )
    depth = 0
    for token in tokens:
        if len(token.text) > MAXIMUM_WORD and token.kind in ("NAME", "NUMBER"):
            return Limit(
                span=Span(path, token.start, token.end),
                what="the word is too long",
                limit=f"{MAXIMUM_WORD:,} characters",
                instead="write a shorter one",
            )
        depth += (token.kind in OPENING) - (token.kind in CLOSING and depth > 0)
        if depth > MAXIMUM_NESTING:
            return Limit(
                span=Span(path, token.start, token.end),
                what="brackets are nested too deep",
                limit=f"{MAXIMUM_NESTING} inside each other",
                instead="name an inner part by a `let`",
            )
    return None
