"""Processes that make shards: an error, a kill or an interrupt ends all of them, and none hangs."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from time import sleep

import pytest

from tests.prepare.calling import (
    PATIENCE,
    finished,
    group_of,
    started,
    wait_until,
    workers_of,
)
from tests.prepare.corpora import as_bytes, read, spec, texts, write_lines

UNIT = 10_000
PREPARING = re.compile(r"train: preparing [\d.]+ MiB\n")
STOPPED = "stopped; run the command again to resume, finished shards are kept\n"


@pytest.fixture
def documents(tmp_path: Path) -> list[str]:
    """Of a corpus of some 90 units, beside its spec."""
    made = [f"document {number} " + "word " * (number % 40) for number in range(12_000)]
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web.jsonl" }'))
    write_lines(tmp_path / "web.jsonl", texts(made))
    return made


def shards(folder: Path) -> int:
    """How many are finished."""
    return len([*(folder / "prepared" / "main" / "train").glob("shard-*.json")])


def goes_on(folder: Path, documents: list[str]) -> None:
    """Started again, it makes the rest, and the whole is right."""
    kept = shards(folder)
    done = finished(folder, "--processes", "2", unit=UNIT)
    assert done.returncode == 0, done.stderr
    assert f" {kept} kept\n" in done.stderr
    assert read(folder / "prepared" / "main" / "train").tokens == as_bytes(documents)
    assert not [*folder.rglob("*.partial")]


def ended(process: Popen[str]) -> tuple[int, str]:
    """Exit code and what was said, when all of its processes are gone."""
    said, errors = process.communicate(timeout=PATIENCE)
    assert said == ""
    wait_until(lambda: not group_of(process.pid))
    return process.returncode, errors


@pytest.mark.parametrize("keys", [10_000, 0])
def test_an_error_of_any_length_is_told(tmp_path: Path, keys: int) -> None:
    """A pipe holds 64 KiB. With many fields only some are named; a name in the spec is told whole,
    so that its error is longer than any pipe."""
    field = "text" if keys else "x" * 200_000
    (tmp_path / "run.llama").write_text(spec(f'jsonl {{ train = "web", text = "{field}" }}'))
    (tmp_path / "web").mkdir()
    for name in ("a", "b"):
        record = {f"a name of some length {key}": 1 for key in range(keys)}
        write_lines(tmp_path / "web" / f"{name}.jsonl", [record])
    done = finished(tmp_path, "--processes", "2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"error\[unusable-data\]: `web/[ab].jsonl:1` cannot be used\n", done.stderr)
    if keys:
        assert re.search(r"; there are: a name of some length 0, .*, and 9,994 more\n", done.stderr)


def frozen(process: Popen[str], folder: Path) -> list[int]:
    """Its two workers in the middle of the work, stopped as by Ctrl-Z."""
    wait_until(lambda: shards(folder) >= 3)
    workers = workers_of(process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    assert len(workers) == 2
    assert process.poll() is None
    return workers


def test_a_worker_that_is_killed_ends_the_command(tmp_path: Path, documents: list[str]) -> None:
    """As the kernel does where memory is short; the other worker does not keep the command."""
    with started(tmp_path, "--processes", "2", unit=UNIT) as process:
        os.kill(frozen(process, tmp_path)[0], signal.SIGKILL)
        code, said = ended(process)
    assert code == 2
    assert PREPARING.sub("", said) == (
        "error: a worker was killed (SIGKILL), perhaps because memory ran out; "
        "run the command again with fewer --processes to resume\n"
    )
    goes_on(tmp_path, documents)


@pytest.mark.long
def test_a_worker_that_is_killed_at_any_instant(tmp_path: Path) -> None:
    """Whatever it holds just then, with documents so small that it counts all the time."""
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web.jsonl" }'))
    write_lines(tmp_path / "web.jsonl", texts(["a"] * 200_000))
    drawn = random.Random(0)
    for number in range(30):
        with started(tmp_path, "--processes", "2", "-o", f"{number}", unit=UNIT) as process:
            wait_until(lambda leader=process.pid: len(workers_of(leader)) == 2)
            sleep(drawn.uniform(0.1, 0.4))
            os.kill(drawn.choice(workers_of(process.pid)), signal.SIGKILL)
            code, said = ended(process)
        assert (code, "(SIGKILL)" in said) == (2, True)


def test_workers_end_with_the_command(tmp_path: Path, documents: list[str]) -> None:
    """A kill of it alone, which it cannot tell them."""
    with started(tmp_path, "--processes", "2", unit=UNIT) as process:
        wait_until(lambda: shards(tmp_path) >= 3)
        process.kill()
        process.wait()
        there = shards(tmp_path)
        code, said = ended(process)
    assert code == -signal.SIGKILL
    assert shards(tmp_path) <= there + 2  # what each had in hand
    assert "Traceback" not in said
    goes_on(tmp_path, documents)


def to_all(process: Popen[str]) -> None:
    """Ctrl-C: the terminal sends it to every process of the foreground."""
    os.killpg(process.pid, signal.SIGINT)


def to_it_alone(process: Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("send", [to_all, to_it_alone])
@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, documents: list[str], processes: int, send: Callable[[Popen[str]], None]
) -> None:
    with started(tmp_path, "--processes", f"{processes}", unit=UNIT) as process:
        wait_until(lambda: shards(tmp_path) >= 3)
        send(process)
        code, said = ended(process)
    assert code == 130
    assert PREPARING.sub("", said) == STOPPED
    assert shards(tmp_path) >= 3
    goes_on(tmp_path, documents)


@pytest.mark.usefixtures("documents")
def test_an_interrupt_while_workers_start(tmp_path: Path) -> None:
    """They have not come to any code of ours yet, and say nothing of it."""
    with started(tmp_path, "--processes", "2", unit=UNIT) as process:
        wait_until(lambda: bool(workers_of(process.pid)))
        to_all(process)
        code, said = ended(process)
    assert code == 130
    assert PREPARING.sub("", said) == STOPPED


def test_workers_leave_an_interrupt_to_the_command(tmp_path: Path, documents: list[str]) -> None:
    """From their first instruction on."""
    with started(tmp_path, "--processes", "2", unit=UNIT) as process:
        wait_until(lambda: bool(workers_of(process.pid)))
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGINT)
        code, said = ended(process)
    assert (code, "Traceback" in said) == (0, False)
    assert read(tmp_path / "prepared" / "main" / "train").tokens == as_bytes(documents)


@pytest.mark.usefixtures("documents")
def test_an_interrupt_ends_workers_that_are_stopped(tmp_path: Path) -> None:
    with started(tmp_path, "--processes", "2", unit=UNIT) as process:
        frozen(process, tmp_path)
        to_all(process)
        code, said = ended(process)
    assert code == 130
    assert PREPARING.sub("", said) == STOPPED
