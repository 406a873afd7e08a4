"""What can be wrong with the form of a text, and the limits a text must keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from dsl.automaton import TABLE
from dsl.diagnostics import Edit, Fix, Label, Problem
from dsl.source import Span

MAXIMUM_BYTES: Final = 1 << 20
MAXIMUM_TOKENS: Final = 50_000
MAXIMUM_NESTING: Final = 32
MAXIMUM_WORD: Final = 1000
MAXIMUM_DIGITS: Final = 40
MAXIMUM_ERRORS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Unexpected(Problem):
    """The text stops making sense here.

    A file is a list of imports, `let`s and blocks. A block holds fields (`name = value`),
    refinements (`name { ... }`), and in a plan asserts and one objective. Fields are separated by
    newlines or commas. The label says what could have stood at the place marked.
    """

    slug: ClassVar[str] = "syntax"
    title: ClassVar[str] = "expected {expected}, found {found}"

    expected: str
    found: str
    hint: str | None = None

    def helps(self) -> tuple[str, ...]:
        return () if self.hint is None else (self.hint,)


@dataclass(frozen=True, kw_only=True)
class Unclosed(Problem):
    """A bracket is opened and never closed.

    Indentation tells where the body was meant to end: everything indented deeper than the line
    that opens the bracket is taken as its content.
    """

    slug: ClassVar[str] = "unclosed-bracket"
    title: ClassVar[str] = "this `{bracket}` is never closed"
    label: ClassVar[str] = "no matching `{closing}`"

    bracket: str
    closing: str


@dataclass(frozen=True, kw_only=True)
class Unopened(Problem):
    """A closing bracket has no opening one.

    Either the bracket is one too many, or the line that should open the body lacks its `{`.
    """

    slug: ClassVar[str] = "unopened-bracket"
    title: ClassVar[str] = "this `{bracket}` closes nothing"
    label: ClassVar[str] = "no matching opening bracket"

    bracket: str

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None:
            return ()
        return (Fix(f"remove `{self.bracket}`", (Edit(self.span, ""),), safe=False),)


@dataclass(frozen=True, kw_only=True)
class MissingBrace(Problem):
    """The lines below are indented like a body, but the line above them opens none."""

    slug: ClassVar[str] = "missing-brace"
    title: ClassVar[str] = "expected `{{` at the end of this line"
    label: ClassVar[str] = "the lines below are indented as its body"

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None:
            return ()
        end = Span(self.span.path, self.span.end, self.span.end)
        return (Fix("insert `{`", (Edit(end, " {"),), safe=True),)


@dataclass(frozen=True, kw_only=True)
class UnclosedText(Problem):
    """A text in quotes must end on the line it starts on."""

    slug: ClassVar[str] = "unclosed-text"
    title: ClassVar[str] = "this text has no closing quote"
    label: ClassVar[str] = 'expected `"` before the end of the line'


@dataclass(frozen=True, kw_only=True)
class WrongEscape(Problem):
    r"""A text knows four escapes: `\"`, `\\`, `\n` and `\t`."""

    slug: ClassVar[str] = "wrong-escape"
    title: ClassVar[str] = "unknown escape in a text"
    label: ClassVar[str] = 'known are `\\"`, `\\\\`, `\\n` and `\\t`'


@dataclass(frozen=True, kw_only=True)
class UnknownCharacter(Problem):
    """The language is written in ASCII letters, digits and a few signs.

    Other characters may stand in texts and comments only.
    """

    slug: ClassVar[str] = "unknown-character"
    title: ClassVar[str] = "{description} means nothing here"

    description: str


@dataclass(frozen=True, kw_only=True)
class MisplacedBody(Problem):
    """A body in braces refines a named thing: `roce { ... }`. A number or a sum has no body."""

    slug: ClassVar[str] = "misplaced-body"
    title: ClassVar[str] = "only a name can be followed by a body in braces"
    label: ClassVar[str] = "this is not the name of a component"


@dataclass(frozen=True, kw_only=True)
class NotText(Problem):
    """The file is not UTF-8 text.

    Specs are UTF-8 without NUL characters. The place marked is where the first byte stands that
    cannot be read.
    """

    slug: ClassVar[str] = "not-text"
    title: ClassVar[str] = "the file is not UTF-8 text"
    label: ClassVar[str] = "byte {offset} is 0x{byte:02x}"

    offset: int
    byte: int


@dataclass(frozen=True, kw_only=True)
class Limit(Problem):
    """The text is larger, deeper or longer than any spec needs to be.

    Limits keep the time and memory of a check bounded whatever the text: 1 MiB and 50,000 tokens
    a file, 1000 characters a word, 40 digits a number, 32 brackets, levels of indentation or
    operations inside each other, values that depend on each other 8 deep, imports, `extends` and
    `let`s 16 deep, 64 files, 500 blocks a file, 20,000 layers.
    """

    slug: ClassVar[str] = "limit"
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "at most {limit}"

    what: str
    limit: str
    instead: str = ""
    also: tuple[Label, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return self.also

    def helps(self) -> tuple[str, ...]:
        return (self.instead,) * bool(self.instead)


@dataclass(frozen=True, kw_only=True)
class TooManyErrors(Problem):
    """Only the first 100 errors are shown; mend those and check again."""

    slug: ClassVar[str] = "too-many-errors"
    title: ClassVar[str] = "{count:,} more errors and warnings are not shown"

    count: int


_VALUE: Final = frozenset({"NUMBER", "STRING", "LSQB"})
_SYMBOLS: Final[Mapping[str, str]] = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "NEWLINE": "the end of the line",
    "COMPARISON": "a comparison",
    "$END": "the end of the file",
}
_OPERATORS: Final = frozenset(
    {"COMPARISON", "POWER", "FLOOR", "PLUS", "MINUS", "TIMES", "OVER", "MODULO"}
    | {"OR", "AND", "IN", "DOT", "LPAR"}
)


_ENDS: Final[Mapping[str | None, str]] = {
    "LPAR": "`,` or `)`",
    "LSQB": "`,` or `]`",
    "LBRACE": "a comma or the end of the line",
    None: "the end of the line",
}


def describe_expected(symbols: frozenset[str], inside: str | None) -> str:
    """What could stand there, in a person's words; `inside` is the innermost open bracket."""
    terminals = {symbol for symbol in symbols if symbol.isupper() or symbol == "$END"}
    if terminals >= _VALUE:
        return "a value" if "AUTO" in terminals else "an expression"
    if {"LET", "NAME"} <= terminals:
        return "a field or a block"
    if "EQUAL" in terminals and "LBRACE" in terminals:
        return "`=` or `{`"
    if {"EXTENDS", "LBRACE"} <= terminals:
        return "`{`"
    if terminals & {"NEWLINE", "COMMA", "$END"}:
        return _ENDS[inside]
    names = [
        _SYMBOLS.get(symbol) or f"`{TABLE.literals.get(symbol, symbol.lower())}`"
        for symbol in sorted(terminals - _OPERATORS or terminals)
    ]
    return " or ".join(names[-3:])


def describe_found(kind: str, text: str) -> str:
    match kind:
        case "$END":
            return "the end of the file"
        case "NEWLINE":
            return "the end of the line"
        case "STRING":
            return "a text"
        case "NUMBER":
            return f"the number `{text[:MAXIMUM_DIGITS]}`"
        case _:
            return f"`{text[:MAXIMUM_DIGITS]}`"
