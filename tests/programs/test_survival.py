"""Runs that are killed, stopped, short of disk, or find their checkpoints spoilt."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.metadata import Metadata

from tests.programs.fleet import Fleet, Start, output, run
from tests.programs.starts import again, edited, until, with_values
from tests.programs.support import metrics
from tests.programs.survival import (
    CORRUPTIONS,
    EVERY,
    KEPT,
    STEPS,
    WORLD,
    Reference,
    campaign,
    log_of,
    saved,
)


def test_a_checkpoint_is_complete_and_only_the_newest_are_kept(whole: Reference) -> None:
    run = whole.folder / "run"
    kept = [STEPS - EVERY * i for i in reversed(range(KEPT))]
    found = sorted((run / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    assert [path.name for path in found] == [f"step-{step}" for step in kept]
    sums = (found[-1] / "SHA256SUMS").read_text()
    listed = {line.split("  ")[1] for line in sums.splitlines()}
    assert listed == {path.name for path in found[-1].iterdir()} - {"SHA256SUMS"}
    state = json.loads((found[-1] / "state.json").read_text())
    assert (state["step"], state["position"], state["skipped"]) == (STEPS, STEPS * 8 * 16, 0)


def test_a_finished_run_says_so_and_changes_nothing(whole: Reference, tmp_path: Path) -> None:
    codes, said = run(again(whole, tmp_path))
    assert codes == [0] * WORLD, said
    assert "12 of 12 steps are done" in said
    assert "nothing is left to do" in said
    assert saved(tmp_path / "run") == saved(whole.folder / "run")
    assert log_of(tmp_path / "run") == log_of(whole.folder / "run")


def test_another_meaning_is_refused_with_the_difference(whole: Reference, tmp_path: Path) -> None:
    shutil.copytree(whole.folder / "run", tmp_path / "run")
    codes, said = run(with_values(whole, tmp_path, LR=0.02, SEED=3))
    assert codes == [78] * WORLD
    assert "run/checkpoints/step-12 was trained with different settings:" in said
    assert set(re.findall(r"^  (.+ there, .+ here)$", said, re.MULTILINE)) == {
        "train.optimizer.lr: 0.01 there, 0.02 here",
        "train.seed: 0 there, 3 here",
    }
    assert "--resume never" in said


def test_tensors_of_another_form_are_refused(whole: Reference, tmp_path: Path) -> None:
    shutil.copytree(whole.folder / "run", tmp_path / "run")
    codes, said = run(with_values(whole, tmp_path, PARAMETER_DTYPE="float64"))
    assert codes == [78] * WORLD
    assert "the first is embedding.weight: torch.float32 [256, 16] there, torch.float64" in said


def test_other_data_are_another_meaning_and_moved_ones_are_not(
    whole: Reference, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder / "train", tmp_path / "elsewhere")
    codes, said = run(again(whole, tmp_path, "--data", "elsewhere"))
    assert codes == [0] * WORLD, said
    (tmp_path / "elsewhere" / "0.txt").write_text("more text than there was")
    codes, said = run(again(whole, tmp_path, "--data", "elsewhere"))
    assert codes == [78] * WORLD
    assert "train.data.train: 1,590 bytes, " in said


def test_a_run_without_a_whole_checkpoint_is_left_alone(whole: Reference, tmp_path: Path) -> None:
    start = again(whole, tmp_path)
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        (checkpoint / "state.json").unlink()
    codes, said = run(start)
    assert codes == [78] * WORLD
    assert "SHA256SUMS does not list the files that are there" in said
    assert log_of(tmp_path / "run") == log_of(whole.folder / "run")


def test_a_disk_that_fails_once_costs_no_checkpoint(whole: Reference, tmp_path: Path) -> None:
    """Rank 1 cannot read its part: the start fails, and the next one finds all as it was."""
    compared = "            if digest(checkpoint / name) != sums[name]:\n"
    fails = "            if dist.get_rank() == 1:\n                raise OSError(5, 'bad sector')\n"
    again(whole, tmp_path)
    before = saved(tmp_path / "run")
    codes, said = run(edited(with_values(whole, tmp_path), (compared, fails + compared)))
    assert codes[1] == 1, said
    assert 78 not in codes
    assert "bad sector" in said
    assert saved(tmp_path / "run") == before
    assert not [*(tmp_path / "run").glob("earlier-*")]


def test_what_lies_beyond_an_older_checkpoint_is_set_aside(
    whole: Reference, tmp_path: Path
) -> None:
    """Going back is asked for; what then comes again is what was there."""
    older = f"run/checkpoints/step-{STEPS - 2 * EVERY}"
    codes, said = run(again(whole, tmp_path, "--resume", older))
    assert codes == [0] * WORLD, said
    aside = sorted(path.name for path in (tmp_path / "run/earlier-1/checkpoints").iterdir())
    assert aside == [f"step-{STEPS - EVERY}", f"step-{STEPS}"]
    assert saved(tmp_path / "run") == saved(whole.folder / "run")
    assert log_of(tmp_path / "run") == log_of(whole.folder / "run")


def test_a_full_disk_is_told_and_later_saves_succeed(whole: Reference, tmp_path: Path) -> None:
    """No file may exceed 8 KB, as if the disk were full, until two saves have failed."""
    start = whole.start_in(tmp_path)
    fleet = Fleet(Start(start.folder, tmp_path, WORLD, start.arguments, largest=8192))
    until("checkpoint at step 4 was not saved", fleet)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for rank in range(WORLD):
        resource.prlimit(fleet.pid(rank), resource.RLIMIT_FSIZE, unlimited)
    assert fleet.finish() == [0] * WORLD, fleet.said()
    assert "checkpoint at step 2 was not saved: OSError: [Errno 27] File too large" in fleet.said()
    assert not list((tmp_path / "run").glob("**/*.partial"))
    assert saved(tmp_path / "run") == saved(whole.folder / "run")
    assert log_of(tmp_path / "run") == log_of(whole.folder / "run")


def test_a_checkpoint_whose_files_nobody_told_of_is_none(whole: Reference, tmp_path: Path) -> None:
    told = "sums = {shard.name: digest(shard)} if shard.exists() else {}"
    codes, said = run(edited(with_values(whole, tmp_path), (told, "sums = {}")))
    assert codes == [74] * WORLD, said
    assert "holds other files than its processes wrote" in said
    assert not [*(tmp_path / "run" / "checkpoints").iterdir()]


def test_a_run_that_could_not_save_its_end_did_not_succeed(
    whole: Reference, tmp_path: Path
) -> None:
    start = whole.start_in(tmp_path)
    codes, said = run(Start(start.folder, tmp_path, WORLD, start.arguments, largest=8192))
    assert codes == [74] * WORLD
    assert f"checkpoint at step {STEPS} was not saved" in said
    assert len(metrics(tmp_path / "run")) == STEPS


def test_lines_that_a_full_disk_refused_come_later(whole: Reference, tmp_path: Path) -> None:
    """metrics.jsonl may grow by 100 bytes, less than a line. Before, it has what crashes leave:
    a hole that the next record follows, and a line that is cut."""
    resumed = again(whole, tmp_path, "--resume", f"run/checkpoints/step-{STEPS - 2 * EVERY}")
    start = replace(with_values(whole, tmp_path), arguments=resumed.arguments)
    log = tmp_path / "run" / "metrics.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    done = lines[: STEPS - 2 * EVERY]
    padding = b'{"step": 0}\n' * 10**5  # so that no other file comes near the limit
    log.write_bytes(padding + b"".join(done) + bytes(500) + lines[0] + lines[1][:9])
    step = "        batches = data.step_batches("
    slow = edited(start, (step, f"        __import__('time').sleep(1)\n{step}"))
    fleet = Fleet(replace(slow, largest=len(padding) + len(b"".join(done)) + 100))
    until("metrics.jsonl was not written: [Errno 27] File too large", fleet)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(fleet.pid(0), resource.RLIMIT_FSIZE, unlimited)
    assert fleet.finish() == [0] * WORLD, fleet.said()
    log.write_bytes(log.read_bytes().removeprefix(padding))
    assert log_of(tmp_path / "run") == log_of(whole.folder / "run")


def test_an_old_checkpoint_that_cannot_be_deleted_is_no_failed_save(
    whole: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, which keeps what is open as another file of the folder."""

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        codes, said = run(whole.start_in(tmp_path))
        assert codes == [0] * WORLD, said
        assert "an old checkpoint is not deleted: [Errno 39] Directory not empty" in said
        assert "was not" not in said
        assert saved(tmp_path / "run") == saved(whole.folder / "run")
        codes, said = run(whole.start_in(tmp_path))  # with what was left
        assert codes == [0] * WORLD, said


def test_one_rank_reads_what_all_shards_hold(
    whole: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = HuggingFaceStorageReader.read_metadata

    def told(self: HuggingFaceStorageReader) -> Metadata:
        print("all headers are read")
        return read(self)

    monkeypatch.setattr(HuggingFaceStorageReader, "read_metadata", told)
    start = again(whole, tmp_path)
    codes, said = run(start)
    assert codes == [0] * WORLD, said
    counts = [output(start, rank).read_text().count("headers are read") for rank in range(WORLD)]
    assert counts == [1, 0]


def test_gradients_that_stay_infinite_end_the_run(whole: Reference, tmp_path: Path) -> None:
    """A rate that blows the weights up in its first step: every later norm is not finite."""
    codes, said = run(with_values(whole, tmp_path, LR=1e30, WARMUP=0, SKIPS_IN_A_ROW=3))
    assert codes == [65] * WORLD, said
    assert "in the last 3 steps no gradient was finite" in said
    assert [record["skipped"] for record in metrics(tmp_path / "run")][-3:] == [1, 2, 3]


def test_a_profile_ends_with_the_run_and_begins_where_it_goes_on(
    whole: Reference, tmp_path: Path
) -> None:
    start = with_values(whole, tmp_path, STEPS=10**6, LOG_EVERY=1)
    start = replace(start, arguments=(*start.arguments, "--profile", "1:1000"))
    for _ in range(2):
        fleet = Fleet(start)
        until("norm", fleet)  # of a step
        fleet.send(signal.SIGTERM, [0])
        assert fleet.finish() == [75] * WORLD, fleet.said()
        traces = [*(tmp_path / "run" / "profile").iterdir()]
        assert len(traces) == WORLD
        for trace in traces:
            events = json.loads(trace.read_text())["traceEvents"]
            assert any("Optimizer.step" in str(event.get("name")) for event in events)
            trace.unlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_to_one_rank_saves_and_ends_all(
    whole: Reference, tmp_path: Path, number: signal.Signals
) -> None:
    fleet = Fleet(with_values(whole, tmp_path, STEPS=10**6, LOG_EVERY=1))
    until("step", fleet)
    fleet.send(number, [1])
    assert fleet.finish() == [75] * WORLD, fleet.said()
    reached = len(metrics(tmp_path / "run"))
    assert f"stopped by a signal after step {reached}; start again to go on" in fleet.said()
    assert saved(tmp_path / "run", reached)


def assert_all_right(failures: Mapping[str, str]) -> None:
    assert not failures, "\n".join(f"{what}: {why}" for what, why in failures.items())


@pytest.mark.long
def test_killed_at_any_instant_a_run_ends_as_if_nothing_had_been(
    whole: Reference, tmp_path: Path
) -> None:
    figures = campaign("kills", whole, tmp_path, trials=20, seed=0)
    assert_all_right(figures.failures)
    assert figures.trials == 20
    assert figures.counts["kills"] >= 20
    assert figures.counts["in a save"] >= 1


@pytest.mark.long
def test_every_corruption_is_found_and_the_checkpoint_before_it_taken(
    whole: Reference, tmp_path: Path
) -> None:
    figures = campaign("corruptions", whole, tmp_path, trials=20, seed=0)
    assert_all_right(figures.failures)
    spoilt = Counter({how: figures.counts[how] for how in CORRUPTIONS})
    assert figures.trials == 20
    assert all(spoilt.values())
    assert figures.counts["detected"] == spoilt.total()
