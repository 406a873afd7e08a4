"""`llamac compile`: the same bytes wherever it runs, and never over an edit."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import llamac as api
from llamac.output import Edited, Written
from tests.face.calling import QUICKSTART, ROOT, Invoke, process


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of every file."""
    return {
        path.relative_to(folder).as_posix(): (
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def test_output_is_the_same_everywhere(tmp_path: Path) -> None:
    """Over hash seeds, locales, time zones, directories, umasks, and ways to name the spec."""
    first, second = tmp_path / "first", tmp_path / "second" / "deeper"
    second.mkdir(parents=True)
    base = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    process(
        "compile",
        str(QUICKSTART),
        "-o",
        str(first),
        cwd=tmp_path,
        env=base | {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
    )
    relative = os.path.relpath(QUICKSTART, second)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from llamac.cli import main; main()"
    other = {"PYTHONHASHSEED": "2", "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8"}
    subprocess.run(
        [sys.executable, "-c", code, "compile", relative, "-o", "here"],
        cwd=second,
        env=base | other,
        umask=0o077,
        check=True,
        capture_output=True,
    )
    assert tree(first) == tree(second / "here")
    assert tree(first)["launch/local.sh"][0] == 0o755
    assert b"MANIFEST" not in tree(first)["config.py"][1]


def test_a_comment_in_the_spec_changes_no_file(llamac: Invoke, tmp_path: Path) -> None:
    (tmp_path / "a.llama").write_text("# above\n\n" + QUICKSTART.read_text())
    assert llamac("compile", "a.llama", "-o", "one").exit_code == 0
    assert llamac("compile", str(QUICKSTART), "-o", "two").exit_code == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_default_place_and_second_call(llamac: Invoke, tmp_path: Path) -> None:
    done = llamac("compile", str(QUICKSTART))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "out/laptop: written\n")
    assert llamac("compile", str(QUICKSTART)).stderr == "out/laptop: unchanged\n"
    assert (tmp_path / "out" / "laptop" / "train.py").is_file()


def test_an_edit_is_shown_and_kept(llamac: Invoke, tmp_path: Path) -> None:
    llamac("compile", str(QUICKSTART), "-o", "p")
    edited = tmp_path / "p" / "model.py"
    before = edited.read_text()
    edited.write_text(before + "# mine\n")
    done = llamac("compile", str(QUICKSTART), "-o", "p")
    assert done.exit_code == 1
    assert "--- model.py (as it is)" in done.stdout
    assert "\n-# mine\n" in done.stdout
    assert "edited since they were written: model.py" in done.stderr
    assert edited.read_text() == before + "# mine\n"
    assert llamac("run", str(QUICKSTART), "-o", "p").exit_code == 1
    assert llamac("compile", str(QUICKSTART), "-o", "p", "--force").exit_code == 0
    assert edited.read_text() == before
    assert (tmp_path / "p" / "model.py.orig").read_text() == before + "# mine\n"


def test_torch_versions(llamac: Invoke, tmp_path: Path) -> None:
    """The name of the differentiable all-gather changed between the two."""
    for version, there, absent in (
        ("2.13", "all_gather_single_autograd", "all_gather_tensor_autograd"),
        ("2.11", "all_gather_tensor_autograd", "all_gather_single_autograd"),
    ):
        assert llamac("compile", str(QUICKSTART), "-o", version, "--torch", version).exit_code == 0
        text = (tmp_path / version / "parallel.py").read_text()
        assert there in text
        assert absent not in text


def test_python_api(tmp_path: Path) -> None:
    assert api.check(QUICKSTART) == ()
    loaded = api.load(QUICKSTART)
    assert loaded.spec is not None
    assert api.plan(QUICKSTART).compiled("laptop").plan.main.mesh.world == 4
    target = tmp_path / "out"
    assert api.compile(QUICKSTART, target) == Written(target, changed=True)
    (target / "train.py").write_text("")
    assert isinstance(api.compile(QUICKSTART, target), Edited)
    with pytest.raises(AttributeError):
        api.nonsense  # noqa: B018


def test_data_that_is_not_there_is_the_programs_78(tmp_path: Path) -> None:
    done = process("run", str(QUICKSTART), "--steps", "1", "--data", "nowhere", cwd=tmp_path)
    assert done.returncode == 78
    assert "--data: cannot read 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
