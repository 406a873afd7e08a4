"""Which statements of a program a process executes.

The program is imported with a mark before every statement, which notes the statement's line. A
tracer (`sys.settrace`) would not need the marks, but it slows every Python function of the process,
torch's among them: ranks needed 1.6 times the CPU time with one (Python 3.11).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

MARK = "__executed__"
"""The name under which a module finds what notes a line."""


class ExecutedLines(MetaPathFinder):
    """The first line of every statement that has run in the modules of a folder, as far as they
    are imported after `watch`. Lines of tracebacks stay those of the files."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._seen: dict[str, set[int]] = {}

    def watch(self) -> None:
        sys.meta_path.insert(0, self)

    def seen(self) -> dict[str, list[int]]:
        """File name -> the lines, in order."""
        return {name: sorted(lines) for name, lines in self._seen.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._program / f"{fullname}.py"
        if not file.exists():
            return None
        lines = self._seen.setdefault(file.name, set())
        loader = _MarkingLoader(fullname, str(file), lines)
        return spec_from_file_location(fullname, file, loader=loader)


class _MarkingLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, lines: set[int]) -> None:
        super().__init__(name, path)
        self._lines = lines

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[MARK] = self._lines.add
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        """Never from a cache, which would be without marks."""
        tree = ast.parse(self.get_data(self.path), self.path)
        return compile(_Marked().visit(tree), self.path, "exec", dont_inherit=True)


class _Marked(ast.NodeTransformer):
    """Puts `__executed__(line)` before every statement that can do something."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):  # the body of a lambda is an expression
                setattr(node, name, [*_with_marks(cast("list[ast.stmt]", block))])
        return node


def _with_marks(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in block:
        match statement:
            case ast.Expr(value=ast.Constant()) | ast.ImportFrom(module="__future__"):
                pass  # a docstring must stay first, and this import before everything else
            case _:
                yield _mark(statement)
        yield statement


def _mark(statement: ast.stmt) -> ast.stmt:
    call = ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(statement.lineno)], [])
    mark = ast.copy_location(ast.Expr(call), statement)
    return ast.fix_missing_locations(mark)
