"""Expressions back to text, with names replaced by their values where those are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

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

_PRECEDENCE: Final = (
    {"or"},
    {"and"},
    {"not"},
    {"==", "!=", "<", "<=", ">", ">=", "in"},
    {"+", "-"},
    {"*", "/", "//", "%"},
    {"unary -"},
    {"**"},
)


def expression_text(
    expression: Value, values: Mapping[str, str] | None = None, outer: int = 0
) -> str:
    """The expression in canonical spacing; `values` maps a path's text to what stands for it."""
    match expression:
        case Path():
            return (values or {}).get(expression.text, expression.text)
        case Number(text, word, _):
            return text if word is None else f"{text} {word.text}"
        case Text(value, _):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'
        case Truth(value, _):
            return "true" if value else "false"
        case Nothing():
            return "none"
        case Negation("not", operand, _):
            return _wrap(f"not {expression_text(operand, values, 2)}", 2, outer)
        case Negation(_, operand, _):
            return _wrap(f"-{expression_text(operand, values, 6)}", 6, outer)
        case Operation(operator, left, right, _):
            level = next(n for n, operators in enumerate(_PRECEDENCE) if operator in operators)
            sides = (level + 1, level) if operator == "**" else (level, level + 1)
            first = expression_text(left, values, sides[0])
            second = expression_text(right, values, sides[1])
            return _wrap(f"{first} {operator} {second}", level, outer)
        case Membership(element, collection, _):
            text = f"{expression_text(element, values, 4)} in {expression_text(collection, values)}"
            return _wrap(text, 3, outer)
        case ListValue(items, _):
            return "[" + ", ".join(expression_text(item, values) for item in items) + "]"
        case Component(head, positional, _, _):
            inner = ", ".join(expression_text(item, values) for item in positional)
            return f"{head.text}({inner})" if positional else f"{head.text} {{ ... }}"
        case Automatic(choices, _):
            return "auto" if choices is None else f"auto in {expression_text(choices, values)}"
        case Hole():
            return "?"
        case _:
            assert_never(expression)


def _wrap(text: str, level: int, outer: int) -> str:
    return f"({text})" if level < outer else text


def size(expression: Expression | Value) -> int:
    """How many nodes an expression has: what evaluating it once costs."""
    match expression:
        case Negation(_, operand, _):
            return 1 + size(operand)
        case Operation(_, left, right, _) | Membership(left, right, _):
            return 1 + size(left) + size(right)
        case ListValue(items, _):
            return 1 + sum(size(item) for item in items)
        case _:
            return 1


def paths_in(expression: Expression | Value) -> list[Path]:
    """Every path of an expression, left to right."""
    match expression:
        case Path():
            return [expression]
        case Negation(_, operand, _):
            return paths_in(operand)
        case Operation(_, left, right, _) | Membership(left, right, _):
            return paths_in(left) + paths_in(right)
        case ListValue(items, _):
            return [path for item in items for path in paths_in(item)]
        case _:
            return []
