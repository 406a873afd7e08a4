"""No circle of files: whoever reads one file never has to read it again to understand it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("dsl", "compiler", "backends", "llamac")


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file; a package is its `__init__.py`."""
    found = [path for floor in FLOORS for path in (root / floor).rglob("*.py")]
    parts = {path: path.relative_to(root).with_suffix("").parts for path in found}
    return {
        ".".join(names[:-1] if names[-1] == "__init__" else names): path
        for path, names in parts.items()
    }


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports anywhere in it, in functions and for type-checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else node.module


def circle(root: Path) -> list[str]:
    """The modules of a circle of imports, or none."""
    known = modules(root)
    graph = {name: {*imported(path, known)} - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return found.args[1]
    return []


def test_no_files_import_each_other() -> None:
    assert circle(ROOT) == []


@pytest.mark.parametrize("place", ["", "def late() -> None:\n    "])
def test_a_circle_is_found(tmp_path: Path, place: str) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        file = tmp_path / "dsl" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{place}from dsl.{other} import name\n")
    assert {*circle(tmp_path)} == {"dsl.one", "dsl.two"}
