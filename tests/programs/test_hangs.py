"""A rank that hangs is found and named; one that is only slow is left alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs.fleet import Fleet, Start, run
from tests.programs.starts import again, edited, until, with_values
from tests.programs.survival import (
    EVERY,
    WORLD,
    Reference,
    saved,
)


def run_without_hang(start: Start) -> None:
    codes, said = run(start)
    assert codes == [0] * WORLD, said
    for log in (start.cwd / "run" / "log").iterdir():  # the end comes only seconds after the word
        assert "no progress" not in log.read_text()


def test_a_slow_save_is_no_hang(whole: Reference, tmp_path: Path) -> None:
    """Twice PATIENCE on rank 1, for which rank 0 waits."""
    start = edited(
        with_values(whole, tmp_path, STEPS=EVERY, PATIENCE=4.0),
        ("left[: 2**26]", "left[: 2**12]"),  # of 85 KB
        ("os.fdatasync(self.fileno())", "__import__('time').sleep(0.4 * dist.get_rank())"),
    )
    run_without_hang(start)
    assert saved(tmp_path / "run", EVERY)


def test_a_hang_in_a_save_is_told(whole: Reference, tmp_path: Path) -> None:
    start = edited(
        with_values(whole, tmp_path, STEPS=EVERY, PATIENCE=4.0),
        ("os.fdatasync(self.fileno())", "__import__('time').sleep(1000 * dist.get_rank())"),
    )
    codes, said = run(start)
    assert codes == [69] * WORLD
    assert re.search(r"no progress for 4 s: rank 0 waits in .*, at checkpoint.py:\d+: ", said)
    assert not (tmp_path / "run" / "checkpoints" / f"step-{EVERY}").exists()


def test_a_slow_start_evaluation_and_sample_are_no_hang(whole: Reference, tmp_path: Path) -> None:
    """Each of them takes more than PATIENCE, and none of its parts does."""
    again(whole, tmp_path)
    hashed, loaded = '    with path.open("rb") as file:\n', "lambda read_item, tensor: "
    evaluated, drawn = "        loss = model(*batch)\n", "    seen = text["
    start = edited(
        with_values(whole, tmp_path, PATIENCE=4.0, EVAL_SEQUENCES=12),
        (hashed, f"    __import__('time').sleep(2.5)\n{hashed}"),  # two files
        (loaded, f"{loaded}__import__('time').sleep(0.1) or "),  # 69 tensors
        (evaluated, f"        __import__('time').sleep(2)\n{evaluated}"),  # 3 batches
        (drawn, f"    __import__('time').sleep(0.05)\n{drawn}"),  # 120 tokens
    )
    run_without_hang(start)


@pytest.mark.parametrize(
    ("stopped", "started"), [(1, True), (1, False), pytest.param(0, True, marks=pytest.mark.long)]
)
def test_a_hang_names_the_rank_the_group_and_the_collective(
    whole: Reference, tmp_path: Path, stopped: int, started: bool
) -> None:
    fleet = Fleet(with_values(whole, tmp_path, STEPS=10**6, LOG_EVERY=1, PATIENCE=4.0))
    until("step", fleet)
    other = 1 - stopped
    if not started:  # then it has no log
        (tmp_path / "run" / "log" / f"rank-{stopped}.txt").unlink()
    fleet.send(signal.SIGSTOP, [stopped])
    until(f"no response from ranks [{stopped}] of 2", fleet, other)
    fleet.send(signal.SIGKILL, [stopped])
    codes = fleet.finish()
    assert (codes[stopped], codes[other]) == (-signal.SIGKILL, 69)
    (said,) = [line for line in fleet.said().splitlines() if line.startswith("no progress for 4 s")]
    assert f"rank {other} waits in gloo:" in said
    assert " over fsdp, at " in said or " over all ranks, at " in said
    assert ".py:" in said


def test_hangs_of_nccl_are_told_too(whole: Reference) -> None:
    """Torch keeps its collectives in a recorder of their own, which is empty here."""
    entry = {"profiling_name": "nccl:all_gather", "collective_seq_id": 7, "retired": False}
    recorded = json.dumps({"entries": [{**entry, "process_group": ["3", "d"]}]})
    code = (
        f"import sys; sys.path.insert(0, {str(whole.start_in(whole.folder).folder)!r})\n"
        "from torch._C import _distributed_c10d as recorders\n"
        f"recorders._dump_nccl_trace_json = lambda *_: {recorded!r}\n"
        "import parallel\n"
        "print(parallel.describe_pending())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "nccl:all_gather number 7 over all ranks\n"


def test_a_rank_that_waits_for_the_others_can_be_ended(whole: Reference, tmp_path: Path) -> None:
    start = whole.start_in(tmp_path)
    place = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}  # where nobody answers
    command = [sys.executable, str(start.folder / "train.py"), *start.arguments]
    with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **place}) as process:
        while not (tmp_path / "run" / "log" / "rank-1.txt").exists():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)  # it is connecting
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGTERM
