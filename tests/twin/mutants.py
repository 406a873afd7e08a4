"""Small mistakes in the text of a program: every one that the operators can make, in order.

A mutant replaces one expression or statement of a function. Its key is the mutated line in words of
the program, so it stays the same when other lines come or go.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

COLLECTIVES = ("all_gather", "reduce_scatter", "all_reduce", "sum_partials", "all_reduce_data")
COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
SIGNS: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """`text` is the whole file with one change."""

    file: str
    place: str
    operator: str
    before: str
    after: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.file} {self.place}: {self.before} -> {self.after}"


def mutants(
    files: Mapping[str, str], executed: Mapping[str, Set[int]], axes: Sequence[str]
) -> Iterator[Mutant]:
    """Of every function of the files, in lines that a twin executed."""
    for file, lines in executed.items():
        text = files[file]
        for place, statement in _statements(ast.parse(text).body, ""):
            if statement.lineno in lines or (statement.end_lineno or 0) in lines:
                yield from _of_statement(file, place, text, statement, axes)


def _statements(body: list[ast.stmt], place: str) -> Iterator[tuple[str, ast.stmt]]:
    """Those inside functions, without docstrings."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            inside = f"{place}.{statement.name}" if place else statement.name
            yield from _statements(statement.body, inside)
            continue
        if place and not _is_text(statement):
            yield place, statement
        for name in ("body", "orelse"):
            yield from _statements(getattr(statement, name, []), place)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _of_statement(
    file: str, place: str, text: str, statement: ast.stmt, axes: Sequence[str]
) -> Iterator[Mutant]:
    before = ast.unparse(statement).splitlines()[0]
    changes: list[tuple[str, ast.AST, str]] = []
    if isinstance(statement, ast.Expr | ast.AugAssign | ast.Continue):
        changes.append(("statement dropped", statement, "pass"))
    if isinstance(statement, ast.Assign) and isinstance(
        statement.targets[0], ast.Attribute | ast.Subscript
    ):
        changes.append(("statement dropped", statement, "pass"))
    blocks = {"body", "orelse", "handlers", "finalbody"}
    for field, value in ast.iter_fields(statement):
        if field in blocks or field == "annotation":
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                for node in ast.walk(part):
                    changes += [(name, node, new) for name, new in _changes(node, axes)]
    for operator, node, new in changes:
        changed = _replaced(text, node, new)
        after = _line_at(changed, place, statement, new)
        yield Mutant(file, place, operator, before, after, changed)


def _changes(node: ast.AST, axes: Sequence[str]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Call(args=[first, *_]) if _name(node.func) in COLLECTIVES:
            yield "collective dropped", ast.unparse(first)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            turned = ast.Compare(left, [COMPARISONS[type(op)]()], [right])
            yield "comparison turned", f"({ast.unparse(turned)})"
        case ast.BinOp(left=left, op=ast.Div() | ast.FloorDiv()):
            yield "division dropped", f"({ast.unparse(left)})"
        case ast.BinOp(left=left, op=ast.Mult()) if not isinstance(left, ast.Constant):
            yield "factor dropped", f"({ast.unparse(left)})"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SIGNS:
            turned = ast.BinOp(left, SIGNS[type(op)](), right)
            yield "sign turned", f"({ast.unparse(turned)})"
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield "sign turned", f"({ast.unparse(operand)})"
        case ast.Constant(value=bool(value)):
            yield "switch turned", str(not value)
        case ast.Constant(value=int(value)):
            yield "off by one", str(value + 1)
            yield "off by one", f"({value - 1})" if value < 1 else str(value - 1)
        case ast.Constant(value=str(value)) if value in axes:
            yield from (("another axis", repr(axis)) for axis in axes if axis != value)
        case _:
            pass


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _replaced(text: str, node: ast.AST, new: str) -> str:
    """Columns of the syntax tree count bytes."""
    lines = text.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    assert isinstance(node, ast.expr | ast.stmt)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    first = starts[node.lineno - 1] + node.col_offset
    last = starts[node.end_lineno - 1] + node.end_col_offset
    raw = text.encode()
    return (raw[:first] + new.encode() + raw[last:]).decode()


def _line_at(changed: str, place: str, statement: ast.stmt, new: str) -> str:
    """The first line of the changed statement, as it reads now."""
    for inside, other in _statements(ast.parse(changed).body, ""):
        if inside == place and other.lineno == statement.lineno:
            return ast.unparse(other).splitlines()[0]
    return new
