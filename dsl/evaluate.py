"""What an expression comes to, with units; used while checking and, for asserts, after planning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias, assert_never

from dsl.diagnostics import Problem
from dsl.show import expression_text, paths_in
from dsl.source import Span
from dsl.tree import (
    Automatic,
    Component,
    Expression,
    Hole,
    ListValue,
    Membership,
    Negation,
    Nothing,
    Number,
    Operation,
    Path,
    Text,
    Truth,
    Value,
)
from dsl.units import (
    MAXIMUM_NUMBER,
    NONE,
    Quantity,
    divide,
    literal,
    name_of,
    show,
)

MAXIMUM_POWER: Final = 200


@dataclass(frozen=True)
class Listed:
    """The value of a list."""

    items: tuple[Atom, ...]


Atom: TypeAlias = Quantity | bool | str | Listed | None


@dataclass(frozen=True, kw_only=True)
class WrongOperand(Problem):
    """An operator meets a value it cannot work on.

    Arithmetic needs numbers, `and or not` need true or false, comparisons two values of one kind.
    """

    slug: ClassVar[str] = "wrong-operand"
    title: ClassVar[str] = "{operator} needs {expected}"
    label: ClassVar[str] = "this is {found}"

    operator: str
    expected: str
    found: str


@dataclass(frozen=True, kw_only=True)
class MixedUnits(Problem):
    """Two quantities are added or compared that measure different things.

    A sum, a difference and a comparison need the same dimension on both sides (and the same
    counting word, where both have one).
    """

    slug: ClassVar[str] = "mixed-units"
    title: ClassVar[str] = "`{operator}` needs the same kind of quantity on both sides"
    label: ClassVar[str] = "left is {left}, right is {right}"

    operator: str
    left: str
    right: str


@dataclass(frozen=True, kw_only=True)
class NotComputable(Problem):
    """An expression has no value: a division by zero, or a number beyond all bounds."""

    slug: ClassVar[str] = "not-computable"
    title: ClassVar[str] = "{reason}"
    label: ClassVar[str] = "{arithmetic}"

    reason: str
    arithmetic: str


class EvaluationFailed(Exception):
    """The expression has no value; `problem` is None where that only follows from another."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class Evaluated:
    """The value, and that of every path in the expression, by its text."""

    value: Atom
    paths: Mapping[str, Atom]

    def arithmetic(self, expression: Expression) -> str:
        """The expression with values for names: `8 * 16 * 3`."""
        shown = {text: show_atom(value) for text, value in self.paths.items()}
        return expression_text(expression, shown)


@dataclass(frozen=True)
class UnknownPath:
    """The lookup has no value for this path."""

    path: str
    span: Span


def evaluate(
    expression: Expression, lookup: Callable[[str], Atom | UnknownPath]
) -> Evaluated | UnknownPath | Problem:
    """Evaluate with `lookup` for the paths (`memory.peak`); it may answer UnknownPath itself.

    Numbers go in as `Quantity.of(number, Dimension.BYTES)`.
    """
    paths: dict[str, Atom] = {}
    for path in paths_in(expression):
        found = lookup(path.text)
        if isinstance(found, UnknownPath):
            return UnknownPath(path.text, path.span)
        paths[path.text] = found
    try:
        return Evaluated(compute(expression, lambda path: paths[path.text]), paths)
    except EvaluationFailed as failed:
        if failed.problem is None:  # a hole: never part of a Spec
            return UnknownPath(expression_text(expression), expression.span)
        return failed.problem


def parts(expression: Expression, evaluated: Evaluated) -> tuple[tuple[Expression, Atom], ...]:
    """The value of each sub-expression that is computed, innermost first: for failed asserts."""
    found: list[tuple[Expression, Atom]] = []

    def visit(part: Expression | Value) -> None:
        match part:
            case Operation(_, left, right, _) | Membership(left, right, _):
                visit(left)
                visit(right)
            case Negation(_, operand, _):
                visit(operand)
            case Path():
                pass
            case _:
                return
        assert not isinstance(part, Automatic)
        found.append((part, compute(part, lambda path: evaluated.paths[path.text])))

    visit(expression)
    return tuple(found)


Look: TypeAlias = Callable[[Path], Atom]


def compute(expression: Value, look: Look) -> Atom:
    """The value; raises EvaluationFailed, as `look` may."""
    match expression:
        case Path():
            return look(expression)
        case Number():
            quantity = literal(expression)
            if isinstance(quantity, Problem):
                raise EvaluationFailed(quantity)
            return quantity
        case Text(value, _) | Truth(value, _):
            return value
        case Nothing():
            return None
        case ListValue(items, _):
            return Listed(tuple(compute(item, look) for item in items))
        case Negation("not", operand, _):
            return not _truth("not", operand, look)
        case Negation(_, operand, _):
            quantity = _quantity("-", operand, look)
            return Quantity(-quantity.number, quantity.dimensions, quantity.word)
        case Operation(("and" | "or") as operator, left, right, _):
            if _truth(operator, left, look) is (operator == "or"):
                return operator == "or"
            return _truth(operator, right, look)
        case Operation(("==" | "!=") as operator, left, right, span):
            equal = _equal(compute(left, look), compute(right, look), operator, span)
            return equal if operator == "==" else not equal
        case Operation(operator, left, right, _):
            first, second = _quantity(operator, left, look), _quantity(operator, right, look)
            return _operate(expression, first, second)
        case Membership(element, collection, span):
            first, among = compute(element, look), compute(collection, look)
            if not isinstance(among, Listed):
                raise _wrong("`in`", "a list on its right", describe(among), collection.span)
            return any(_equal(first, item, "in", span) for item in among.items)
        case Automatic(_, span):
            raise _wrong("an expression", "known values", "`auto`", span)
        case Component(head, _, _, span):
            raise _wrong("an expression", "plain values", f"the component `{head.text}`", span)
        case Hole():
            raise EvaluationFailed(None)
        case _:
            assert_never(expression)


def describe(value: Atom) -> str:
    """What kind of thing a value is."""
    match value:
        case Quantity(_, dimensions, _):
            return name_of(dimensions)
        case bool():
            return "true or false"
        case str():
            return "a text"
        case None:
            return "none"
        case Listed():
            return "a list"
        case _:
            assert_never(value)


def show_atom(value: Atom) -> str:
    match value:
        case Quantity():
            return show(value)
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case None:
            return "none"
        case Listed(items):
            return "[" + ", ".join(show_atom(item) for item in items) + "]"
        case _:
            assert_never(value)


def _wrong(operator: str, expected: str, found: str, span: Span) -> EvaluationFailed:
    return EvaluationFailed(
        WrongOperand(span=span, operator=operator, expected=expected, found=found)
    )


def _quantity(operator: str, operand: Expression, look: Look) -> Quantity:
    value = compute(operand, look)
    if isinstance(value, Quantity):
        return value
    raise _wrong(f"`{operator}`", "numbers", describe(value), operand.span)


def _truth(operator: str, operand: Expression, look: Look) -> bool:
    value = compute(operand, look)
    if isinstance(value, bool):
        return value
    raise _wrong(f"`{operator}`", "conditions", describe(value), operand.span)


def _equal(left: Atom, right: Atom, operator: str, span: Span) -> bool:
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        _same(left, right, operator, span)
        return left.number == right.number
    if left is None or right is None:
        return left is right
    if type(left) is type(right):
        return left == right
    found = f"{describe(left)} and {describe(right)}"
    raise _wrong(f"`{operator}`", "two values of one kind", found, span)


def _same(left: Quantity, right: Quantity, operator: str, span: Span) -> str | None:
    """The counting word both have or one lends the other."""
    words = {word for word in (left.word, right.word) if word is not None}
    if left.dimensions == right.dimensions and len(words) < 2:
        return next(iter(words), None)
    sides = [
        name_of(side.dimensions) + (f" of {side.word}" if side.word else "")
        for side in (left, right)
    ]
    raise EvaluationFailed(MixedUnits(span=span, operator=operator, left=sides[0], right=sides[1]))


def _operate(operation: Operation, left: Quantity, right: Quantity) -> Atom:
    """Arithmetic and order of two quantities."""
    a, b = left.number, right.number
    match operation.operator:
        case "<" | "<=" | ">" | ">=" as operator:
            _same(left, right, operator, operation.span)
            return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator]
        case "+" | "-" as operator:
            word = _same(left, right, operator, operation.span)
            number = a + b if operator == "+" else a - b
            return _bounded(operation, Quantity(number, left.dimensions, word), a, b)
        case "*":
            word = left.word if right.word is None else right.word if left.word is None else None
            made = Quantity(a * b, left.dimensions.times(right.dimensions), word)
            return _bounded(operation, made, a, b)
        case "/" | "//" | "%" as operator:
            return _bounded(operation, _quotient(operation, operator, left, right), a, b)
        case "**":
            return _bounded(operation, _power(operation, left, right), a, b)
        case _:
            raise AssertionError("logic and equality are computed by their callers")


def _quotient(operation: Operation, operator: str, left: Quantity, right: Quantity) -> Quantity:
    a, b = left.number, right.number
    if b == 0:
        raise _not_computable(operation, "division by zero", a, b)
    dimensions = left.dimensions.times(right.dimensions, -1)
    word = left.word if right.word is None else None
    if operator == "/":
        exact = divide(a, b) if isinstance(a, int) and isinstance(b, int) else a / b
        return Quantity(exact, dimensions, word)
    if operator == "//":
        return Quantity(a // b, dimensions, word)
    _same(left, right, operator, operation.span)
    return Quantity(a % b, left.dimensions, left.word)


def _power(operation: Operation, left: Quantity, right: Quantity) -> Quantity:
    a, b = left.number, right.number
    if right.dimensions != NONE or abs(b) > MAXIMUM_POWER or (a == 0 and b < 0):
        raise _not_computable(operation, "this power has no value", a, b)
    if a < 0 and not isinstance(b, int):
        raise _not_computable(operation, "a root of a negative number", a, b)
    if left.dimensions != NONE and not isinstance(b, int):
        raise _not_computable(operation, "a unit can only be raised to a whole power", a, b)
    try:
        number = a**b
    except OverflowError as overflow:
        raise _not_computable(operation, "the number is too large", a, b) from overflow
    return Quantity(number, NONE if left.dimensions == NONE else left.dimensions.to_the(int(b)))


def _bounded(operation: Operation, made: Quantity, a: float, b: float) -> Quantity:
    if not abs(made.number) <= MAXIMUM_NUMBER:
        raise _not_computable(operation, "the number is too large", a, b)
    return made


def _not_computable(operation: Operation, reason: str, a: float, b: float) -> EvaluationFailed:
    shown = f"{show(Quantity(a))} {operation.operator} {show(Quantity(b))}"
    return EvaluationFailed(NotComputable(span=operation.span, reason=reason, arithmetic=shown))
