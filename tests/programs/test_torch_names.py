"""Programs name only what their torch version has."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.emit import emit
from backends.pytorch.emit import PyTorch
from backends.pytorch.versions import VERSIONS
from compiler.pipeline import Compiled
from tests.programs.record_torch_names import names
from tests.programs.variants import variants

RECORDED = Path(__file__).parent / "torch_names" / "2.11.txt"
VARIANTS = variants()


def recorded() -> set[str]:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


def torch_names(text: str) -> Iterator[str]:
    """Dotted names of torch in a module: imported ones, and attributes of imported modules."""
    tree = ast.parse(text)
    roots = {"torch": "torch"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                roots |= {alias.asname or alias.name: alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), names=aliases) if module.startswith("torch"):
                for alias in aliases:
                    roots[alias.asname or alias.name] = f"{module}.{alias.name}"
                    yield f"{module}.{alias.name}"
            case _:
                pass
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        chain = "" if id(node) in inner else dotted(node)
        root, _, rest = chain.partition(".")
        if rest and roots.get(root, "").startswith("torch"):
            yield f"{roots[root]}.{rest}"


def dotted(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            inner = dotted(value)
            return f"{inner}.{attr}" if inner else ""
        case _:
            return ""


def is_known(name: str, known: set[str]) -> bool:
    """In the list; or a member of a class in it, which the list does not follow."""
    parent, _, last = name.rpartition(".")
    return name in known or (
        parent in known and parent.rpartition(".")[2][0].isupper() and last != ""
    )


@pytest.mark.parametrize("plan", VARIANTS.values(), ids=VARIANTS)
def test_the_text_for_2_11_names_what_2_11_has(plan: Compiled) -> None:
    known = recorded()
    for file, text in emit(plan, backend=PyTorch("2.11")).files.items():
        if file.endswith(".py"):
            unknown = [name for name in torch_names(text) if not is_known(name, known)]
            assert not unknown, (file, unknown)


def test_the_text_for_2_13_would_not_pass_there() -> None:
    """So the check can fail: what only 2.13 has is not in the list."""
    files = emit(VARIANTS["sharded and tensor-parallel"]).files
    unknown = {name for name in torch_names(files["parallel.py"]) if name not in recorded()}
    module = "torch.distributed._functional_collectives"
    newest = VERSIONS["2.13"]
    assert unknown == {f"{module}.{newest.all_gather}", f"{module}.{newest.reduce_scatter}"}


@pytest.mark.filterwarnings("ignore")  # looking at deprecated names warns
def test_the_text_for_2_13_names_what_the_installed_torch_has() -> None:
    known = set(names())
    assert importlib.import_module("torch").__version__.startswith("2.13")
    for file, text in emit(VARIANTS["copies of key/value heads"]).files.items():
        if file.endswith(".py"):
            assert [name for name in torch_names(text) if not is_known(name, known)] == [], file
