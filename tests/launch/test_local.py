"""What launch/local.sh does around a program, with a small stand-in for train.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llamac import launch
from tests.launch.specs import program, written
from tests.programs import support

WORLD = 4
TELLS = """
import os, sys
names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")
text = " ".join([*(os.environ[name] for name in names), *sys.argv[1:]])
open(f"seen-{os.environ['RANK']}", "w").write(text)
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = written(program(text=support.TEXT), tmp_path)
    (folder / "train.py").write_text(TELLS)
    return folder


def seen(folder: Path) -> list[str]:
    return [(folder / f"seen-{rank}").read_text() for rank in range(WORLD)]


@pytest.mark.parametrize("start", ["-out", "a b", "$(touch canary)", "'", "a\nb"])
def test_wherever_the_program_lies(made: Path, tmp_path: Path, start: str) -> None:
    """By a relative path, where `cd` would look elsewhere first."""
    made.rename(tmp_path / start)
    (tmp_path / "elsewhere" / start / "launch").mkdir(parents=True)
    done = subprocess.run(
        ["bash", "--", f"{start}/launch/local.sh", "--run", start],
        cwd=tmp_path,
        env=support.environment(CDPATH=str(tmp_path / "elsewhere")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert seen(tmp_path) == [f"{rank} {rank} 4 127.0.0.1 --run {start}" for rank in range(WORLD)]
    assert not (tmp_path / "canary").exists()


def test_llamac_starts_a_program_whose_folder_looks_like_an_option(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.rename(tmp_path / "-out")
    monkeypatch.chdir(tmp_path)
    assert launch.start(Path("-out"), []) == 0
    assert len(seen(tmp_path)) == WORLD


def test_what_another_launcher_set_is_not_for_this_one(made: Path, tmp_path: Path) -> None:
    """Started by hand within an allocation, or by a process of torchrun."""
    (made / "train.py").write_text(
        TELLS + "assert os.environ['MASTER_PORT'] != '1' and os.environ['OMP_NUM_THREADS'] != '0'\n"
        "assert not [name for name in os.environ if name.startswith('TORCHELASTIC')]\n"
    )
    leaked = {"RANK": "3", "LOCAL_RANK": "x", "WORLD_SIZE": "8", "NODE_RANK": "0"}
    leaked |= {"MASTER_ADDR": "node7", "MASTER_PORT": "1", "OMP_NUM_THREADS": "0"}
    leaked |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "PYTHONSAFEPATH": "1"}
    leaked |= {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "LC_ALL": "C", "TMPDIR": "/nowhere"}
    done = support.launch(made, cwd=tmp_path, env=support.environment(**leaked))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert seen(tmp_path) == [f"{rank} {rank} 4 127.0.0.1" for rank in range(WORLD)]


def test_a_package_that_is_missing(tmp_path: Path) -> None:
    made = program(("train.log", 'log { wandb = "llamas" }'), text=support.TEXT)
    folder = written(made, tmp_path)
    packages = tmp_path / "packages"
    for name in ("torch", "numpy", "safetensors"):
        (packages / name).mkdir(parents=True)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    env = support.environment(PYTHON=str(python), PYTHONPATH=str(packages))
    done = support.launch(folder, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("error: not installed on ")
    assert done.stderr.endswith(": wandb\n")
    assert done.stderr.count("\n") == 1


def test_what_ended_a_process_is_told(made: Path, tmp_path: Path) -> None:
    (made / "train.py").write_text(
        "import os, signal, time\n"
        "if os.environ['RANK'] == '2':\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(60)\n"
    )
    done = support.launch(made, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGKILL
    assert done.stderr == "local.sh: signal KILL ended process 2\n"


@pytest.mark.parametrize("heard", [("SIGTERM", "SIGUSR2"), ()], ids=["training", "starting"])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR2", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_llamac_passes_signals_on(
    made: Path, tmp_path: Path, number: str, heard: tuple[str, ...]
) -> None:
    """While its processes are starting, they hear none: nothing is lost then."""
    (made / "train.py").write_text(
        "import os, signal, sys, time\n"
        f"for name in {heard}:\n"
        "    signal.signal(signal.Signals[name], lambda *_: sys.exit(75))\n"
        "open(f\"ready-{os.environ['RANK']}\", 'w')\n"
        "time.sleep(60)\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom llamac.launch import start\n"
        f"sys.exit(start(Path({str(made)!r}), []))"
    )
    env = support.environment(PYTHONPATH=str(Path(launch.__file__).parents[1]))
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(list(tmp_path.glob("ready-*"))) < WORLD:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.Signals[number])
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (75, "")
