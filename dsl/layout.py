"""Lines and their indentation: how a text that does not parse is cut into units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsl.source import Source
from dsl.tokens import CLOSING, NEWLINE, OPENING, Token

TAB = 4


@dataclass(frozen=True)
class Line:
    """The tokens of one line of text, its newline included, and how far it is indented."""

    indent: int
    tokens: Sequence[Token]

    @property
    def words(self) -> list[Token]:
        return [token for token in self.tokens if token.kind != NEWLINE]

    def balance(self) -> tuple[list[Token], Token | None]:
        """Brackets this line leaves open, and the first that closes nothing on it."""
        opened: list[Token] = []
        for position, token in enumerate(self.words):
            if token.kind in OPENING:
                opened.append(token)
            elif token.kind in CLOSING:
                if opened:
                    opened.pop()
                elif position == 0 or token.kind == "RBRACE":
                    return opened, token
        return opened, None

    def opens_body(self) -> bool:
        return self.words[-1].kind == "LBRACE"

    def closes(self) -> bool:
        return self.words[0].kind in CLOSING


def lines_of(source: Source, tokens: Sequence[Token]) -> list[Line]:
    """The lines that hold tokens."""
    lines: list[Line] = []
    current: list[Token] = []
    for token in tokens:
        current.append(token)
        if token.kind == NEWLINE:
            if len(current) > 1:
                lines.append(_line(source, current))
            current = []
    if current:
        lines.append(_line(source, current))
    return lines


def _line(source: Source, tokens: list[Token]) -> Line:
    first = tokens[0].start
    column = source.position(first).column - 1
    blank = source.text[first - column : first]
    return Line(len(blank.expandtabs(TAB)), tokens)


def cut(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Units: a line, the lines indented deeper, and the closing brackets that end it."""
    unit: list[Line] = []
    for line in lines:
        if unit and not line.closes():
            ended = unit[-1].closes() and unit[-1].indent <= unit[0].indent
            if ended or line.indent <= unit[0].indent:
                yield unit
                unit = []
        unit.append(line)
    if unit:
        yield unit
