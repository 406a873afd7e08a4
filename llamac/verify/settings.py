"""config.py as data: a program's settings are assignments of literals, and of names that stand
above, so they can be read, replaced and compared without running anything."""

from __future__ import annotations

import ast
from collections.abc import Mapping

DTYPES = ("PARAMETER_DTYPE", "COMPUTE_DTYPE", "REDUCE_DTYPE", "ACCUMULATE_DTYPE")


def settings(text: str) -> dict[str, object]:
    """Name -> value of every assignment, in order: of literals, and of names that stand above."""
    found: dict[str, object] = {}
    for name, value in _assignments(text):
        found[name] = ast.literal_eval(_Named(found).visit(value))
    return found


class _Named(ast.NodeTransformer):
    """Puts a value that is known in the place of its name."""

    def __init__(self, known: Mapping[str, object]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.known.get(node.id, node)
        return node if value is node else ast.parse(repr(value), mode="eval").body


def with_settings(text: str, changed: Mapping[str, object]) -> str:
    """The same file with other values for these names; each must be assigned in it."""
    lines = text.splitlines(keepends=True)
    found = dict(_assignments(text))
    missing = [name for name in changed if name not in found]
    if missing:
        raise ValueError(f"config.py assigns no {', '.join(missing)}")
    for name in sorted(changed, key=lambda name: found[name].lineno, reverse=True):
        value = found[name]
        if value.end_lineno is None:
            raise ValueError(f"config.py: {name} has no end")
        lines[value.lineno - 1 : value.end_lineno] = [f"{name} = {changed[name]!r}\n"]
    return "".join(lines)


def edits(compiled: str, edited: str) -> tuple[str, ...]:
    """One line a setting that is not what the spec compiles to. A setting that repeats an edited
    one by its name is not told again."""
    before, after = _literals(compiled), _literals(edited)
    return tuple(
        f"config.py: {name} is {after.get(name, 'absent')!r}, the spec gives "
        f"{before.get(name, 'nothing')!r}"
        for name in [*before, *(name for name in after if name not in before)]
        if before.get(name) != after.get(name)
    )


def _literals(text: str) -> dict[str, object]:
    """Name -> value of every assignment, in which names that stand above stay names."""
    return {name: ast.literal_eval(_Quoted().visit(value)) for name, value in _assignments(text)}


class _Quoted(ast.NodeTransformer):
    """Puts its name in the place of a value that stands above."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(node.id)


def _assignments(text: str) -> list[tuple[str, ast.expr]]:
    found: list[tuple[str, ast.expr]] = []
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.append((name, value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found.append((name, value))
            case _:
                pass
    return found
