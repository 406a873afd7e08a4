"""What is wrong with an environment is said at once, with what to set."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launch.specs import GPU_NODES, program, written
from tests.programs import support

PLACE = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs for four processes on two nodes, and for 32 GPUs on four."""
    made = tmp_path_factory.mktemp("made")
    support.write(program(text=GPU_NODES), made / "gpus")
    return written(program(), made)


@pytest.fixture
def launch_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "config", raising=False)
    spec = importlib.util.spec_from_file_location("launcher_of_program", folder / "launcher.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delitem(sys.modules, "config")
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    return module.launch_problem


def test_a_right_environment(launch_problem: Callable[[], str]) -> None:
    assert launch_problem() == ""


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("RANK", "", "set RANK, or use a script of launch/"),
        ("RANK", "x", "RANK='x' is not a whole number"),
        ("RANK", "-1", "RANK='-1' is not a whole number"),
        ("RANK", "\u0664", "RANK='\u0664' is not a whole number"),
        ("RANK", "4", "RANK=4 is too large: 4 processes have ranks 0 to 3"),
        ("LOCAL_RANK", "1.0", "LOCAL_RANK='1.0' is not a whole number"),
        ("LOCAL_RANK", "2", "LOCAL_RANK=2 is larger than RANK=1"),
        ("WORLD_SIZE", "2", "this program runs on 4 processes, not 2"),
        ("WORLD_SIZE", "9" * 5000, f"WORLD_SIZE={'9' * 5000!r} is not a whole number"),
        ("MASTER_PORT", "http", "MASTER_PORT='http' is not a whole number"),
        ("MASTER_PORT", "65536", "MASTER_PORT=65536 is not a port: it is 1 to 65535"),
        ("MASTER_PORT", "0", "MASTER_PORT=0 is not a port: it is 1 to 65535"),
    ],
)
def test_a_wrong_environment(
    launch_problem: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    problem: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert launch_problem() == problem


def needs(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "launch" / "needs.py")],
        env=support.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_fewer_visible_gpus_than_a_node_has(folder: Path) -> None:
    gpus = folder.parent / "gpus"
    done = needs(gpus, CUDA_VISIBLE_DEVICES="0,1")
    problem = "error: CUDA_VISIBLE_DEVICES='0,1' shows 2 of 8 GPUs; unset it\n"
    assert (done.returncode, done.stderr) == (78, problem)
    assert needs(gpus, CUDA_VISIBLE_DEVICES="0,1,2,3,4,5,6,7").returncode == 0
    assert needs(folder, CUDA_VISIBLE_DEVICES="").returncode == 0  # it runs on CPUs


def test_a_port_that_is_in_use(folder: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        place = {**PLACE, "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": port}
        done = needs(folder, **place)
        assert (done.returncode, done.stderr.startswith(f"error: MASTER_PORT={port} ")) == (1, True)
        assert needs(folder, **{**place, "RANK": "1", "LOCAL_RANK": "1"}).returncode == 0
    assert needs(folder, **place).returncode == 0
