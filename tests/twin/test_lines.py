"""The statements that are noted as executed are those that Python's own tracer sees."""

from __future__ import annotations

import ast
import importlib
import sys
import traceback
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from llamac.verify.lines import ExecutedLines

TEXT = '''"""A module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Pair:
    """Of numbers."""

    left: int
    right: int = 0

    def total(self) -> int:
        if self.left < 0:
            return -1
        return self.left + self.right


def visited(values):
    """What happens to each."""
    found = []
    for value in values:
        match value:
            case 0:
                found.append("none")
            case int() if value > 1:
                found.append(
                    "many",
                )
            case _:
                found.append("one")
    else:
        found.append("end")
    while len(found) > 9:
        found.pop()
    with open("/dev/null") as file:
        kept = lambda: file.name
    try:
        found.append(values[7])
    except IndexError:
        found.append(kept())
    else:
        found.append("never")
    finally:
        found.append("always")
    return found


def never():
    global unseen
    unseen = 1


def fails():
    marker = 1
    raise ValueError(marker)
'''


def use(module: ModuleType) -> None:
    assert module.visited([0, 1]) == ["none", "one", "end", "/dev/null", "always"]
    assert module.Pair(1, 2).total() == 3


def imported(folder: Path) -> ModuleType:
    sys.modules.pop("sample_of_lines", None)
    importlib.invalidate_caches()
    return importlib.import_module("sample_of_lines")


def statements() -> set[int]:
    """First lines of those that may be noted: not of docstrings and of the future's import."""
    tree = ast.parse(TEXT)
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    }


def traced(folder: Path) -> set[int]:
    """Lines that Python's tracer sees, in the module without marks."""
    seen: set[int] = set()

    def note(frame: FrameType, event: str, arg: object) -> Any:
        if Path(frame.f_code.co_filename).parent != folder:
            return None
        if event == "line":
            seen.add(frame.f_lineno)
        return note

    sys.settrace(note)
    use(imported(folder))
    sys.settrace(None)
    return seen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sample_of_lines.py").write_text(TEXT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def test_marks_note_what_the_tracer_sees(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = traced(folder) & statements()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    lines = ExecutedLines(folder)
    lines.watch()
    use(imported(folder))
    (seen,) = lines.seen().values()
    assert {*seen} == expected
    assert statements() - expected, "some of it does not run"


def test_a_traceback_has_the_lines_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    ExecutedLines(folder).watch()
    module = imported(folder)
    with pytest.raises(ValueError, match="1") as caught:
        module.fails()
    last = traceback.extract_tb(caught.tb)[-1]
    assert last.lineno == len(TEXT.splitlines())
    assert last.line == "raise ValueError(marker)"
