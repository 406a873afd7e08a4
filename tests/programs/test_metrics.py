"""What programs tell beside metrics.jsonl: TensorBoard, Weights & Biases, profiles, a bar."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.programs.support import environment, launch, metrics, program, write, write_text

STUBS = Path(__file__).parent / "stubs"
LOG = 'log { every = 2 steps, tensorboard = true, wandb = "llamas" }'
STUBBED = environment(PYTHONPATH=str(STUBS))
TWO = (("cluster.node.devices", "2"), ("tp", "1"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/main`, stopped after step 4, profiled, and gone on with to step 6."""
    folder = tmp_path_factory.mktemp("told")
    write_text(folder)
    here = write(program(*TWO, ("train.log", LOG)), folder / "out")
    env = {**STUBBED, "WANDB_CALLS": str(folder / "calls")}
    for arguments in (("--steps", "5", "--profile", "2:3"), ("--resume", "runs/main"), ()):
        done = launch(here, *arguments, cwd=folder, env=env)
        assert done.returncode == 0, done.stderr
    return folder


def known(run: Path, key: str) -> list[tuple[int, float]]:
    """(step, value) of metrics.jsonl where the value is not null."""
    pairs = [(record["step"], record[key]) for record in metrics(run)]
    return [(int(step), value) for step, value in pairs if step is not None and value is not None]


def test_tensorboard_has_every_step_once(trained: Path) -> None:
    run = trained / "runs" / "main"
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    for key in ("loss", "val_loss", "lr", "tokens_per_s", "skipped"):
        told = [(event.step, event.value) for event in events.Scalars(key)]
        expected = known(run, key)
        assert [step for step, _ in told] == [step for step, _ in expected]
        # events hold float32
        assert [value for _, value in told] == pytest.approx([v for _, v in expected], rel=1e-6)
    assert "mfu" not in events.Tags()["scalars"]  # unknown on CPU


def test_tensorboard_on_a_full_disk_is_an_alarm(tmp_path: Path) -> None:
    """No file may exceed 2 KB: what ends the run is that its last checkpoint is not there."""
    write_text(tmp_path)
    made = program(*TWO, ("train.log", "log { tensorboard = true }"))
    log = tmp_path / "runs" / "main" / "log" / "rank-0.txt"
    log.parent.mkdir(parents=True)
    log.write_text("full" * 512)
    script = write(made, tmp_path / "out") / "launch" / "local.sh"
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 2; exec bash "$0"', str(script)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 74, done.stderr
    assert "TensorBoard was not written: [Errno 27] File too large" in done.stdout
    assert "Logging error" not in done.stderr  # of the log, which is as full


def test_wandb_is_told_by_rank_0_and_a_restart_goes_on_with_the_same_run(trained: Path) -> None:
    calls = [json.loads(line) for line in (trained / "calls").read_text().splitlines()]
    starts = [arguments for what, arguments in calls if what == "init"]
    assert len(starts) == 3
    assert starts[0] == starts[1] == starts[2]
    assert starts[0]["project"] == "llamas"
    steps = [arguments["step"] for what, arguments in calls if what == "log"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert "mfu" not in calls[1][1]["data"]


def test_a_profile_of_each_rank(trained: Path) -> None:
    folder = trained / "runs" / "main" / "profile"
    assert sorted(path.name for path in folder.iterdir()) == ["rank-0.json", "rank-1.json"]
    for path in folder.iterdir():
        names = [event.get("name") for event in json.loads(path.read_text())["traceEvents"]]
        # Two optimizer steps, and nothing of the third
        assert sum("Optimizer.step" in str(name) for name in names) == 2


@pytest.mark.parametrize("window", ["3:1", "x", "1", "1:-2", "5:7"])
def test_a_wrong_profile_window(trained: Path, window: str) -> None:
    done = launch(trained / "out", f"--profile={window}", cwd=trained, env=STUBBED)
    assert done.returncode == 78
    assert f"--profile {window}: write FIRST:LAST" in done.stderr


def test_a_bar_on_a_terminal_only(tmp_path: Path) -> None:
    write_text(tmp_path)
    here = write(program(*TWO, ("train.log", "log { every = 3 steps }")), tmp_path / "out")
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", buffering=0) as terminal:
        with subprocess.Popen(
            ["bash", str(here / "launch" / "local.sh")],
            cwd=tmp_path,
            env=environment(),
            stdout=inner,
        ) as started:
            os.close(inner)
            said = b""
            try:
                while part := terminal.read(4096):
                    said += part
            except OSError:  # Linux says so when the last writer has closed a terminal
                pass
        assert started.returncode == 0
    lines = said.decode().replace("\r\n", "\n").split("\r\033[K")
    bars = [line for line in lines if line.startswith("[")]
    assert [re.sub(r"  .*", "", bar) for bar in bars] == [
        f"[{'=' * (step * 20 // 6):<20}] step {step}/6".split("  ")[0] for step in (1, 2, 4, 5)
    ]
    assert not (tmp_path / "runs" / "main" / "log" / "rank-0.txt").read_text().count("[=")
