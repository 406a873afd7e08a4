"""Another package called `dsl` in front of ours: one line that says so, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    program = f"import sys\nsys.path[:0] = [{str(path)!r}, {str(ROOT)!r}]\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=path, check=False
    )


@pytest.mark.parametrize("floor", ["dsl", "compiler", "backends"])
@pytest.mark.parametrize("form", ["package", "module", "folder"])
def test_command_line_says_which_file_shadows(tmp_path: Path, floor: str, form: str) -> None:
    match form:
        case "package":
            (tmp_path / floor).mkdir()
            shadow = tmp_path / floor / "__init__.py"
            shadow.write_text("")
        case "module":
            shadow = tmp_path / f"{floor}.py"
            shadow.write_text("")
        case _:
            # A folder without __init__ is a namespace package, which a real package wins over.
            (tmp_path / floor).mkdir()
            done = run(
                "from llamac.cli import main; sys.argv = ['llamac', '--help']; main()", tmp_path
            )
            assert done.returncode == 0
            return
    done = run("from llamac.cli import main; sys.argv = ['llamac', '--help']; main()", tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert str(shadow) in done.stderr


def test_python_api_raises_import_error(tmp_path: Path) -> None:
    (tmp_path / "dsl.py").write_text("")
    done = run("import llamac\nllamac.load", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ImportError: llamac needs its own package `dsl`"
    )
