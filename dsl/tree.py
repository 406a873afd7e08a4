"""The syntax tree: frozen nodes with spans, and a `Hole` where the text was wrong.

Expressions are what computes; a `Value` is what may stand right of `=`: an expression, a list, a
component with its body, or `auto`. Clauses are the lines of a body; a `File` is a list of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from dsl.source import Span

ArithmeticOperator: TypeAlias = Literal["+", "-", "*", "/", "//", "%", "**"]
ComparisonOperator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
LogicalOperator: TypeAlias = Literal["and", "or"]


@dataclass(frozen=True)
class Name:
    """One word."""

    text: str
    span: Span


@dataclass(frozen=True)
class Path:
    """`memory.peak`, `llama3.base`, `heads`."""

    names: tuple[Name, ...]
    span: Span

    @property
    def text(self) -> str:
        return ".".join(name.text for name in self.names)


@dataclass(frozen=True)
class Number:
    """A numeric literal as written, unit included (`400Gbps`), and its counting word."""

    text: str
    word: Name | None
    span: Span


@dataclass(frozen=True)
class Text:
    """A string literal, escapes resolved."""

    value: str
    span: Span


@dataclass(frozen=True)
class Truth:
    """`true` or `false`."""

    value: bool
    span: Span


@dataclass(frozen=True)
class Nothing:
    """The word `none`."""

    span: Span


@dataclass(frozen=True)
class Negation:
    """`-x` or `not x`."""

    operator: Literal["-", "not"]
    operand: Expression
    span: Span


@dataclass(frozen=True)
class Operation:
    """Two operands and what joins them."""

    operator: ArithmeticOperator | ComparisonOperator | LogicalOperator
    left: Expression
    right: Expression
    span: Span


@dataclass(frozen=True)
class Membership:
    """`x in [1, 2, 4]`."""

    element: Expression
    collection: Expression
    span: Span


@dataclass(frozen=True)
class ListValue:
    """`[1, 2, 4]`."""

    items: tuple[Value, ...]
    span: Span


@dataclass(frozen=True)
class Automatic:
    """`auto`, or `auto in [1, 2, 4]`."""

    choices: ListValue | None
    span: Span


@dataclass(frozen=True)
class Component:
    """`f(a = 1)`, `f { a = 1 }`, `sliding(4Ki)`: a named thing and the clauses that refine it."""

    head: Path
    positional: tuple[Value, ...]
    body: tuple[Clause, ...]
    span: Span


@dataclass(frozen=True)
class Hole:
    """Where the text was wrong. Its error is reported already: what meets it reports none."""

    span: Span


Expression: TypeAlias = (
    Path
    | Number
    | Text
    | Truth
    | Nothing
    | Negation
    | Operation
    | Membership
    | ListValue
    | Component
    | Hole
)
Value: TypeAlias = Expression | Automatic


@dataclass(frozen=True)
class Replace:
    """`a.b = value`."""

    path: Path
    value: Value
    span: Span


@dataclass(frozen=True)
class Refine:
    """`a.b { ... }`, `layer where i == last { ... }`."""

    path: Path
    predicate: Expression | None
    body: tuple[Clause, ...]
    span: Span


@dataclass(frozen=True)
class Block:
    """`model x extends y { ... }`, `phase start { ... }`, `sweep s of p { ... }`."""

    kind: Name
    name: Name
    relation: Literal["extends", "of"] | None
    parent: Path | None
    body: tuple[Clause, ...]
    span: Span

    @property
    def head(self) -> Span:
        """Kind and name: what errors about the whole block point at."""
        return self.kind.span.to(self.name.span)


@dataclass(frozen=True)
class Import:
    """`import "std/llama3" as llama3`."""

    file: Text
    alias: Name
    span: Span


@dataclass(frozen=True)
class Let:
    """`let name = value`."""

    name: Name
    value: Value
    span: Span


@dataclass(frozen=True)
class Assertion:
    """`assert mfu > 38%`."""

    expression: Expression
    span: Span


@dataclass(frozen=True)
class Goal:
    """`minimize step_time`."""

    direction: Literal["minimize", "maximize"]
    expression: Expression
    span: Span


@dataclass(frozen=True)
class Vary:
    """`vary cp in [1, 2]`, in a sweep."""

    path: Path
    choices: ListValue
    span: Span


@dataclass(frozen=True)
class Condition:
    """`where tp * cp <= 16`, in a sweep."""

    expression: Expression
    span: Span


Clause: TypeAlias = (
    Replace | Refine | Block | Import | Let | Assertion | Goal | Vary | Condition | Hole
)


@dataclass(frozen=True)
class File:
    """The clauses of one file."""

    path: str
    clauses: tuple[Clause, ...]
