"""How the tests call `llamac prepare`: in this process, or in one of its own that can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from click.testing import Result

ROOT = Path(__file__).parents[2]
PATIENCE = 120
"""Seconds after which what has to come is taken for lost: far more than a busy machine takes."""

Prepare = Callable[..., Result]


def command(*arguments: str, unit: int | None = None) -> list[str]:
    """`llamac prepare run.llama ARGUMENTS`, with units of `unit` bytes at least. It hears Ctrl-C
    even where the tests do not, as a shell's commands in the background."""
    small = f"documents.SMALLEST_UNIT = {unit}; " if unit is not None else ""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from llamac.prepare import documents; "
        f"{small}from llamac.cli import main; main()"
    )
    return [sys.executable, "-c", code, "prepare", "run.llama", *arguments]


def finished(
    folder: Path, *arguments: str, unit: int | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, to its end; it has to come to one. `before` starts it,
    such as with fewer rights."""
    return subprocess.run(
        [*before, *command(*arguments, unit=unit)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextmanager
def started(
    folder: Path, *arguments: str, unit: int | None = None
) -> Generator[subprocess.Popen[str]]:
    """The command at work, first of a group of processes: all of it is gone afterwards."""
    with subprocess.Popen(
        command(*arguments, unit=unit),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if group_of(process.pid):
                os.killpg(process.pid, signal.SIGKILL)


def group_of(leader: int) -> dict[int, str]:
    """The live processes that `leader` started, itself included, each with its command line."""
    members: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == leader and state != "Z":
            members[int(entry.name)] = line
    return members


def workers_of(leader: int) -> list[int]:
    """The processes that make shards for it."""
    return [process for process, line in group_of(leader).items() if "spawn_main" in line]


def wait_until(come: Callable[[], bool]) -> None:
    end = monotonic() + PATIENCE
    while not come():
        assert monotonic() < end, "what the test waits for does not come"
        sleep(0.002)
