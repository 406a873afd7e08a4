"""Text -> tokens. Whatever the text, every character ends up in a token, a blank or a comment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from dsl.automaton import TABLE

JUNK: Final = "JUNK"  # a run of characters the language does not have
OPEN_TEXT: Final = "OPEN_TEXT"  # a text whose closing quote is missing
END: Final = "$END"
NEWLINE: Final = "NEWLINE"

OPENING: Final = {"LBRACE": "RBRACE", "LPAR": "RPAR", "LSQB": "RSQB"}
CLOSING: Final = frozenset(OPENING.values())

CONTINUES: Final = frozenset(
    {"EQUAL", "COMMA", "COMPARISON", "POWER", "FLOOR", "PLUS", "MINUS", "TIMES", "OVER", "MODULO"}
    | {"OR", "AND", "NOT", "IN"}
)
"""A newline after one of these is a blank."""

_USED: Final = r' \t\r\n#"A-Za-z0-9_{}()\[\],.=<>!+*/%\-'
"""Characters that some token, blank or comment starts with."""

_PATTERN: Final = re.compile(
    "|".join(
        [r"(?P<BLANK>[ \t\ufeff]+|#[^\r\n]*)"]
        + [f"(?P<{name}>{pattern})" for name, pattern in TABLE.terminals]
        + [rf'(?P<{OPEN_TEXT}>"[^\r\n]*)', rf"(?P<{JUNK}>[^{_USED}]+|.)"]
    )
)


class Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str, limit: int) -> list[Token]:
    """All tokens up to a limit, newlines included, blanks and comments dropped."""
    keywords = TABLE.keywords
    tokens: list[Token] = []
    for match in _PATTERN.finditer(text):
        kind, word = match.lastgroup or JUNK, match.group()
        start, end = match.span()
        if kind == "BLANK":
            continue
        if kind == "NAME":
            kind = keywords.get(word, kind)
        tokens.append(Token(kind, word, start, end))
        if len(tokens) == limit:
            break
    return tokens


def join_lines(tokens: Sequence[Token]) -> list[Token]:
    """Drop the newlines that only continue: inside () and [], and after what wants more."""
    kept: list[Token] = []
    brackets: list[str] = []
    for token in tokens:
        kind = token.kind
        if kind in OPENING:
            brackets.append(kind)
        elif kind in CLOSING and brackets:
            brackets.pop()
        elif kind == NEWLINE and (
            (brackets and brackets[-1] != "LBRACE") or (kept and kept[-1].kind in CONTINUES)
        ):
            continue
        kept.append(token)
    return kept
