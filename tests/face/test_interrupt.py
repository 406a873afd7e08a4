"""Ctrl-C, as a terminal sends it: to every process of the foreground, at once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.face.calling import ROOT
from tests.programs.support import TEXT, metrics, write_text


def interrupted(command: list[str], folder: Path, after: str) -> tuple[int, str]:
    """Exit code and all that was said, when Ctrl-C comes after a line that begins with `after`."""
    said: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith(after):
                os.killpg(process.pid, signal.SIGINT)
                after = "never again"
        code = process.wait()
    return code, "".join(said)


def stopped_after(said: str) -> int:
    found = re.search(r"stopped by a signal after step (\d+); start again to go on", said)
    assert found, said
    return int(found[1])


@pytest.mark.long
def test_a_run_saves_and_goes_on(tmp_path: Path) -> None:
    write_text(tmp_path)
    (tmp_path / "small.llama").write_text(TEXT)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from llamac.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "small.llama"]
    for setting in (
        *("cluster.node.devices=2", "tp=1"),
        *("train.steps=100_000", "train.checkpoint.every=90_000"),
    ):
        command += ["--set", setting]
    status, said = interrupted(command, tmp_path, "step")
    assert status == 75, said
    reached = stopped_after(said)
    status, said = interrupted(command, tmp_path, "step")
    assert status == 75, said
    assert f"resumed from runs/main/checkpoints/step-{reached}: {reached} of 100000" in said
    again = stopped_after(said)
    steps = [record["step"] for record in metrics(tmp_path / "runs" / "main")]
    assert steps == list(range(1, again + 1))


@pytest.mark.long
def test_the_quickstart_saves_and_goes_on(tmp_path: Path) -> None:
    """What the Makefile does after installing and gathering text, on less text."""
    for part in ("train", "validation"):
        folder = tmp_path / "data" / "python" / part
        folder.mkdir(parents=True)
        shutil.copy(__file__, folder)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    tool = tmp_path / "bin" / "llamac"
    tool.parent.mkdir()
    code = f"import sys; sys.path.insert(0, '{ROOT}'); from llamac.cli import main; main()"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    tool.chmod(0o755)
    made = ["make", "-f", str(ROOT / "Makefile"), "-o", "install", "-o", "text"]
    command = [*made, "quickstart", f"BIN={tool.parent}"]
    status, said = interrupted(command, tmp_path, "step")
    assert status != 0
    reached = stopped_after(said)
    status, said = interrupted(command, tmp_path, "resumed")
    assert f"resumed from runs/laptop/checkpoints/step-{reached}: {reached} of 200 steps" in said
    assert stopped_after(said) > reached
