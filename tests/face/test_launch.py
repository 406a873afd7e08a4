"""Starting a program: its arguments, its exit code, and the signals it gets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llamac import launch
from tests.face.calling import ROOT


def program(folder: Path, script: str) -> Path:
    path = folder / "program" / "launch" / "local.sh"
    path.parent.mkdir(parents=True)
    path.write_text(script)
    return folder / "program"


@pytest.mark.parametrize("code", [0, 1, 75, 78])
def test_exit_code_is_passed_on(tmp_path: Path, code: int) -> None:
    assert launch.start(program(tmp_path, f"exit {code}"), []) == code


def test_arguments_directory_and_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = program(tmp_path, 'printf "%s\\n" "$PWD" "$PYTHON" "$@" > seen')
    monkeypatch.chdir(tmp_path)
    assert launch.start(script, ["--steps", "3", "--data", "a b"]) == 0
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen == [str(tmp_path), sys.executable, "--steps", "3", "--data", "a b"]


def test_termination_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    script = program(
        tmp_path, 'trap "exit 75" TERM\necho ready\nfor n in {1..400}; do sleep 0.05; done'
    )
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from llamac.launch import start\n"
        f"sys.exit(start(Path({str(script)!r}), []))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 75


def test_death_by_a_signal_reads_as_in_a_shell(tmp_path: Path) -> None:
    assert launch.start(program(tmp_path, "kill -KILL $$"), []) == 128 + signal.SIGKILL
