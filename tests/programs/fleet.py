"""Starts a program's ranks as forks of a process that has imported torch: a second instead of ten.

Each runs `train.main()` as `python train.py` would, in its own working directory and with its own
output, until it ends or is killed.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from pathlib import Path

import torch

from backends.program import Program
from backends.pytorch.emit import MODULES
from llamac.verify.execute import import_ahead, store_for

PATIENCE = 120.0
"""Seconds after which a rank that is still there counts as hanging."""


@dataclass(frozen=True)
class Start:
    """What ranks run: the program in `folder`, from `cwd`. `largest` limits a file's bytes."""

    folder: Path
    cwd: Path
    world: int
    arguments: tuple[str, ...] = ()
    largest: int = resource.RLIM_INFINITY


class Fleet:
    """The ranks of one start. `codes` are theirs once `finish` returns; -9 of those killed."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.store = store_for(start.world)
        context = multiprocessing.get_context("fork")
        forked = context.Event()
        self.ranks = [
            context.Process(target=_rank, args=(rank, start, self.store.port, forked), daemon=True)
            for rank in range(start.world)
        ]
        for number, rank in enumerate(self.ranks):
            output(start, number).write_text("")
            rank.start()
        forked.set()  # no rank asks the store before: a fork might inherit a lock that it holds

    def send(self, number: signal.Signals, ranks: Sequence[int]) -> None:
        for rank in ranks:
            if self.ranks[rank].is_alive():
                os.kill(self.pid(rank), number)

    def pid(self, rank: int) -> int:
        pid = self.ranks[rank].pid
        assert pid is not None
        return pid

    def finish(self) -> list[int]:
        """Exit codes; whoever is still there after PATIENCE is killed, and an error raised."""
        late = time.monotonic() + PATIENCE
        while (alive := [r for r in self.ranks if r.is_alive()]) and time.monotonic() < late:
            wait([rank.sentinel for rank in alive], timeout=max(0.0, late - time.monotonic()))
        for rank in alive:
            rank.kill()
        for rank in self.ranks:
            rank.join()
        if alive:
            raise TimeoutError(f"{len(alive)} of {len(self.ranks)} ranks still ran: {self.said()}")
        return [int(rank.exitcode or 0) for rank in self.ranks]

    def said(self) -> str:
        """Outputs of all ranks, one after the other."""
        return "".join(output(self.start, rank).read_text() for rank in range(self.start.world))


def run(start: Start) -> tuple[list[int], str]:
    """From its start to its end: codes, and what was said."""
    fleet = Fleet(start)
    return fleet.finish(), fleet.said()


def imports(program: Program) -> None:
    """What the program imports of torch, once, before any rank is forked."""
    import_ahead(program.files)


def output(start: Start, rank: int) -> Path:
    return start.cwd / f"output-{rank}.txt"


def _rank(rank: int, start: Start, port: int, forked: Event) -> None:
    forked.wait()
    with output(start, rank).open("w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    os.chdir(start.cwd)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(start.world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # the parent's, so no port can be taken
    resource.setrlimit(resource.RLIMIT_FSIZE, (start.largest, resource.RLIM_INFINITY))
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    for name in ("config", *MODULES):
        sys.modules.pop(name, None)
    sys.path.insert(0, str(start.folder))
    sys.argv = ["train.py", *start.arguments]
    code = importlib.import_module("train").main()
    sys.stdout.flush()
    os._exit(code)
