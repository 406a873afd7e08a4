"""Programs run for real: what they leave, their exit codes, and resuming into another layout."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from backends.program import Program
from tests.programs.support import (
    environment,
    launch,
    metrics,
    program,
    replaced,
    write,
    write_text,
)

KEYS = {
    *("step", "loss", "val_loss", "grad_norm", "lr"),
    *("tokens", "tokens_per_s", "mfu", "memory_gib", "skipped"),
}
TWO = (("cluster.node.devices", "2"), ("tp", "1"))
"""Two processes where four would show no more."""


ONE = (("cluster.node.devices", "1"), ("tp", "1"), ("dp", "1"))


def exact(made: Program) -> Program:
    """In float64, so that layouts agree to rounding."""
    dtypes = ("PARAMETER", "COMPUTE", "REDUCE", "ACCUMULATE")
    return replaced(made, **{f"{name}_DTYPE": "float64" for name in dtypes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and two runs of dp 2 x tp 2: `runs/main`, whole, and `parts`, stopped."""
    folder = tmp_path_factory.mktemp("trained")
    write_text(folder)
    here = write(exact(program()), folder / "out")
    for arguments in ((), ("--run", "parts", "--steps", "3")):
        done = launch(here, *arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "said").write_text(done.stdout)
    return folder


def test_what_a_run_leaves(trained: Path) -> None:
    run = trained / "runs" / "main"
    records = metrics(run)
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert all(record.keys() == KEYS for record in records)
    assert [record["val_loss"] is not None for record in records] == [False, False, True] * 2
    assert records[-1]["tokens"] == 6 * 8 * 16
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-4", "step-6"]
    assert sorted(path.name for path in (run / "log").iterdir()) == [
        f"rank-{rank}.txt" for rank in range(4)
    ]
    logs = [(run / "log" / f"rank-{rank}.txt").read_text() for rank in range(4)]
    assert "step 6/6" in logs[0]
    assert logs[1:] == [""] * 3  # nothing was wrong
    said = (trained / "said").read_text()
    for part in ("validation loss", "sample:", "are in parts"):
        assert part in said


OTHERS = ((("tp", "4"), ("dp", "1")), (("tp", "1"), ("fsdp", "2"), ("dp", "4")))


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: ",".join("=".join(s) for s in other))
def test_another_layout_goes_on_where_this_one_stopped(
    trained: Path, tmp_path: Path, other: tuple[tuple[str, str], ...]
) -> None:
    """Losses and norms of the last steps are those of a run that never stopped."""
    shutil.copytree(trained / "parts", tmp_path / "parts")
    there = write(exact(program(*other)), tmp_path / "there")
    done = launch(there, "--run", str(tmp_path / "parts"), cwd=trained)
    assert done.returncode == 0, done.stderr
    assert f"resumed from {tmp_path}/parts/checkpoints/step-3" in done.stdout
    whole, parts = metrics(trained / "runs" / "main"), metrics(tmp_path / "parts")
    assert [record["step"] for record in parts] == [1, 2, 3, 4, 5, 6]
    for expected, found in zip(whole, parts, strict=True):
        for key in ("loss", "val_loss", "grad_norm", "lr", "tokens"):
            wanted = expected[key]
            assert found[key] == (wanted if wanted is None else pytest.approx(wanted, rel=1e-10))


def test_to_stages_that_cut_the_optimizer_only_and_back(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "parts"
    shutil.copytree(trained / "parts", run)
    settings = (("tp", "1"), ("pp", "2"), ("sharding", "zero1"))
    staged = write(exact(program(*settings)), tmp_path / "staged")
    first = write(exact(program()), tmp_path / "first")
    for there, steps, source in ((staged, "5", "step-3"), (first, "6", "step-5")):
        done = launch(there, "--run", str(run), "--steps", steps, cwd=trained)
        assert done.returncode == 0, done.stderr
        assert f"resumed from {run}/checkpoints/{source}" in done.stdout
    for expected, found in zip(metrics(trained / "runs" / "main"), metrics(run), strict=True):
        for key in ("loss", "grad_norm", "lr", "tokens"):
            assert found[key] == pytest.approx(expected[key], rel=1e-10)


def test_a_checkpoint_of_another_model_is_refused(trained: Path, tmp_path: Path) -> None:
    other = write(program(("model.layer.ffn.d_ff", "28"), *TWO), tmp_path / "other")
    done = launch(
        other, "--run", str(tmp_path / "run"), "--resume", str(trained / "parts"), cwd=trained
    )
    assert done.returncode == 78
    assert f"{trained}/parts/checkpoints/step-3 was trained with different settings:" in done.stderr
    assert "  model.layer.ffn.d_ff: 24 there, 28 here" in done.stderr


def test_a_signal_saves_and_only_a_start_after_it_goes_on(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = write(
        replaced(program(*TWO), STEPS=100_000, CHECKPOINT_EVERY=100_000), tmp_path / "out"
    )
    script = ["bash", str(folder / "launch" / "local.sh"), "--run", "run"]
    with subprocess.Popen(
        script, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("step") for line in process.stdout)
        second = launch(folder, "--run", "run", cwd=tmp_path)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait() == 75
    assert second.returncode == 1
    assert "error: another run is at work in 'run'" in second.stderr
    assert "Traceback" not in second.stderr
    assert "stopped by a signal" in rest
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    reached = int(checkpoint.name.removeprefix("step-"))
    assert len(metrics(tmp_path / "run")) == reached
    done = launch(folder, "--run", "run", "--steps", str(reached + 1), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [record["step"] for record in metrics(tmp_path / "run")] == list(range(1, reached + 2))


def test_what_is_wrong_for_good_says_so_and_ends_with_78(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = write(program(*ONE), tmp_path / "out")
    (tmp_path / "tiny").write_text("x")
    for arguments, said in (
        (("--data", "absent"), "error: --data: cannot read 'absent': No such file or directory"),
        (("--data", "tiny"), "error: --data: 'tiny' holds 2 tokens, one sequence 17"),
        (("--steps", "7"), "error: --steps 7: the learning rate is laid out for 6 steps"),
        (("--resume", "nowhere"), "error: --resume nowhere: no checkpoint is there"),
        (("--run", "tiny"), "error: cannot write into 'tiny': "),
    ):
        done = launch(folder, *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr[: len(said)]) == (78, said)


@pytest.mark.parametrize("wrong", ["train", "validation"])
def test_wrong_data_is_told_by_its_name_in_the_spec(tmp_path: Path, wrong: str) -> None:
    """`--data` stands in for the training data only."""
    write_text(tmp_path)
    folder = write(program(*ONE), tmp_path / "out")
    shutil.rmtree(tmp_path / wrong)
    done = launch(folder, cwd=tmp_path)
    said = f"error: train.data.{wrong}: cannot read '"
    assert (done.returncode, done.stderr[: len(said)]) == (78, said)
    (tmp_path / "other").write_text("some text that is long enough for a sequence " * 20)
    done = launch(folder, "--data", "other", "--steps", "1", cwd=tmp_path)
    assert done.returncode == (0 if wrong == "train" else 78)


def test_a_world_of_another_size_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = write(program(*TWO), tmp_path / "out")
    alone = environment(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1")
    script = [alone["PYTHON"], str(folder / "train.py")]
    done = subprocess.run(
        script, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "MASTER_PORT" in done.stderr) == (78, True)
    done = subprocess.run(
        script,
        cwd=tmp_path,
        env=alone | {"MASTER_PORT": "29500"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "this program runs on 2 processes, not 1" in done.stderr


def bad_token(folder: Path) -> None:
    """Tokens of which one, in a row of rank 1, is past all vocabularies: no start looks there."""
    tokens = [1 + i % 200 for i in range(16 * 128 + 1)]
    tokens[1516] = 70_000
    (folder / "tokens.bin").write_bytes(struct.pack(f"<{len(tokens)}I", *tokens))


def test_the_terminal_shows_what_another_process_met(tmp_path: Path) -> None:
    """Rank 1 cannot go on; rank 0, which waits for it, says why, and nothing else."""
    bad_token(tmp_path)
    data = ("train.data", 'tokens { train = "tokens.bin", separator = 0 }')
    made = program(*TWO, data, ("train.eval", "none"), ("train.steps", "30"))
    done = launch(write(made, tmp_path / "out"), cwd=tmp_path)
    problem = (
        "error: 'tokens.bin': token 1,516, read as uint32, is 70000, outside a vocabulary of 256\n"
    )
    assert (done.returncode, done.stderr) == (78, problem)
    run = tmp_path / "runs" / "main" / "log"
    assert problem in (run / "rank-1.txt").read_text()


def test_the_terminal_shows_where_another_process_failed(tmp_path: Path) -> None:
    write_text(tmp_path)
    made = program(*TWO)
    text = made.files["train.py"]
    step = "    norm = parallel.clip_gradients("
    assert step in text
    broken = "    if dist.get_rank() == 1 and step == 2:\n        raise KeyError('broken')\n"
    files = {**made.files, "train.py": text.replace(step, broken + step)}
    done = launch(write(Program(files, made.executable), tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("process 1 failed:\nTraceback")
    assert done.stderr.endswith("KeyError: 'broken'\n")
    assert done.stderr.count("Traceback") == 1


def test_a_killed_process_leaves_no_tracebacks_on_the_terminal(tmp_path: Path) -> None:
    write_text(tmp_path)
    made = program()
    text = made.files["train.py"]
    step = "    norm = parallel.clip_gradients("
    broken = "    if dist.get_rank() == 1 and step == 2:\n        os.kill(os.getpid(), 9)\n"
    files = {**made.files, "train.py": text.replace(step, broken + step)}
    done = launch(write(Program(files, made.executable), tmp_path / "out"), cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGKILL
    assert set(done.stderr.splitlines()) == {
        "local.sh: signal KILL ended process 1",
        "error: lost the connection to another process, which has ended",
    }


def test_starting_anew_keeps_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = write(program(*ONE), tmp_path / "out")
    for _ in range(2):
        done = launch(folder, "--run", "run", "--steps", "1", "--resume", "never", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "earlier-1" / "checkpoints" / "step-1" / "state.json").is_file()
    assert len(metrics(tmp_path / "run")) == 1


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    with TemporaryDirectory(dir="/dev/shm") as name:
        if os.stat(name).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("/dev/shm is not another file system")
        yield Path(name)


def test_checkpoints_may_lie_on_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    """`rename` does not reach from there into the folder of the run."""
    write_text(tmp_path)
    folder = write(program(*ONE, ("train.checkpoint.every", "1")), tmp_path / "out")
    (tmp_path / "run").mkdir()
    checkpoints = tmp_path / "run" / "checkpoints"
    checkpoints.symlink_to(elsewhere)
    start = ("--run", "run", "--steps", "2")
    assert launch(folder, *start, cwd=tmp_path).returncode == 0
    with (checkpoints / "step-2" / "state.json").open("a") as file:
        file.write("x")
    done = launch(folder, *start, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumed from run/checkpoints/step-1: 1 of 2 steps are done" in done.stdout
    assert (elsewhere / "earlier-1" / "step-2" / "state.json").is_file()
    done = launch(folder, *start, "--resume", "never", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (elsewhere / "earlier-2").iterdir()} == {"step-1", "step-2"}
    assert (tmp_path / "run" / "earlier-2" / "metrics.jsonl").is_file()
    assert len(metrics(tmp_path / "run")) == 2


def test_linked_checkpoints_are_set_aside_as_links(tmp_path: Path) -> None:
    """One that was moved to other storage, and a relative link left in its place."""
    write_text(tmp_path)
    folder = write(program(*ONE), tmp_path / "out")
    start = ("--run", "run", "--steps", "1")
    assert launch(folder, *start, cwd=tmp_path).returncode == 0
    saved = tmp_path / "run" / "checkpoints" / "step-1"
    saved.rename(tmp_path / "archived")
    saved.symlink_to("../../archived")
    done = launch(folder, *start, "--resume", "never", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert saved.is_dir()
    assert not saved.is_symlink()
    aside = tmp_path / "run" / "earlier-1" / "checkpoints" / "step-1"
    assert (aside / "state.json").samefile(tmp_path / "archived" / "state.json")


def wsd(steps: int, decay: int, **changes: object) -> Program:
    schedule = f"wsd {{ warmup = 1, decay = {decay} }}"
    settings = (("train.steps", f"{steps}"), ("train.lr_schedule", schedule))
    keep = ("train.checkpoint", "checkpoint { every = 2 steps, keep = 9 }")
    return exact(replaced(program(*ONE, *settings, keep, ("train.eval", "none")), **changes))


def test_a_stable_run_is_lengthened_and_branched(tmp_path: Path) -> None:
    """What ends a run may change before it decays: then it is what it would have been at once."""
    write_text(tmp_path)
    short, long = write(wsd(6, 2), tmp_path / "short"), write(wsd(10, 3), tmp_path / "long")
    assert launch(long, "--run", "whole", cwd=tmp_path).returncode == 0
    assert launch(short, "--run", "first", cwd=tmp_path).returncode == 0
    # A finished run has decayed.
    done = launch(long, "--run", "first", cwd=tmp_path)
    assert done.returncode == 78
    assert "  train.steps: 6 there, 10 here\n" in done.stderr
    assert "resume from step 4 or before" in done.stderr
    assert "--accept train.steps,train.lr_schedule.decay" in done.stderr
    # A branch has the optimizer's state, in a folder of its own.
    stable = "first/checkpoints/step-4"
    done = launch(long, "--run", "branch", "--resume", stable, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{stable} goes on with other settings:\n  train.steps: 6 there" in done.stdout
    ends = [metrics(tmp_path / run)[-1] for run in ("whole", "branch")]
    assert ends[0]["loss"] == ends[1]["loss"]
    assert ends[0]["lr"] == ends[1]["lr"]
    assert len(metrics(tmp_path / "first")) == 6


def test_a_change_of_steps_already_done_is_accepted_by_name(tmp_path: Path) -> None:
    """Half a cosine would have been another one, had the run been longer."""
    write_text(tmp_path)
    folder = write(program(*ONE), tmp_path / "out")
    assert launch(folder, "--run", "run", "--steps", "4", cwd=tmp_path).returncode == 0
    longer = write(program(*ONE, ("train.steps", "8")), tmp_path / "longer")
    done = launch(longer, "--run", "run", cwd=tmp_path)
    assert done.returncode == 78
    assert "accept the change with --accept train.steps; " in done.stderr
    done = launch(longer, "--run", "run", "--accept", "train.steps", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(metrics(tmp_path / "run")) == 8
