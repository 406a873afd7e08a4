"""The four floors: who may import whom, and who may import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("dsl", "compiler", "backends", "llamac")

# Where torch may be imported when the module is: what runs tensors, never what compiles.
MAY_IMPORT_TORCH = (
    "backends/interpreter/",
    "backends/reference/",
    "llamac/dryrun/",
    *(f"llamac/huggingface/{name}.py" for name in ("checkpoint", "export", "safetensors_file")),
    "llamac/verify/",
)
# What the front end and the compiler may need beside Python itself.
LIBRARIES = {
    "dsl": {"lark"},  # makes the table of the grammar; reading a spec does without
    "compiler": set[str](),
    "backends": {"jinja2", "torch"},
    "llamac": {"click", "safetensors", "tokenizers", "torch"},
}


def modules() -> list[Path]:
    return [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(top-level name, whether it is imported with the module) of every import in a file.

    An import in a function's body, or for type-checkers only, does not run with the module.
    """
    tree = ast.parse(path.read_text())
    deferred = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types(outer)
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    yield name.name.split(".")[0], id(node) not in deferred
            case ast.ImportFrom(module=str(module), level=0):
                yield module.split(".")[0], id(node) not in deferred
            case ast.ImportFrom():
                raise AssertionError(f"{path}: relative imports hide which floor they stay on")
            case _:
                pass


def is_for_types(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name)
def test_imports_go_down(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    below = FLOORS[: FLOORS.index(floor) + 1]
    upwards = {top for top, _ in imports(path) if top in FLOORS} - {*below}
    assert not upwards


@pytest.mark.parametrize("path", modules(), ids=name)
def test_torch_stays_out_of_the_compiler(path: Path) -> None:
    if not name(path).startswith(MAY_IMPORT_TORCH):
        assert not [top for top, with_module in imports(path) if top == "torch" and with_module]


@pytest.mark.parametrize("floor", FLOORS)
def test_libraries_are_the_declared_few(floor: str) -> None:
    import sys

    tops = {top for path in (ROOT / floor).rglob("*.py") for top, _ in imports(path)}
    for_types = {"_typeshed"}  # known to type-checkers only
    assert tops - {*sys.stdlib_module_names, *FLOORS, *for_types} <= LIBRARIES[floor]


def test_reference_shares_nothing_with_what_it_checks() -> None:
    """It reads Spec types only: a fault in graph or lowering must not be in it as well."""
    for path in (ROOT / "backends" / "reference").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                part = node.module.split(".")
                assert part[0] != "compiler" or part[1] == "schema", name(path)
                assert part[0] != "backends" or part[1] == "reference", name(path)


@pytest.mark.parametrize("floor", FLOORS)
def test_every_package_says_what_lives_there(floor: str) -> None:
    packages = {path.parent for path in (ROOT / floor).rglob("*.py")}
    for package in sorted(packages):
        init = package / "__init__.py"
        assert init.is_file(), f"{name(package)} has no __init__.py"
        docstring = ast.get_docstring(ast.parse(init.read_text()))
        assert docstring, f"{name(init)} does not say what lives there"
        assert len(docstring.splitlines()) <= 12, name(init)
