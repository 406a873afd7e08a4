"""Runs a program on this machine: one forked process per rank, gloo between them."""

from __future__ import annotations

import ast
import contextlib
import importlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import cast

import torch
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]  public, re-exported

from llamac.verify.observe import Record, Task
from llamac.verify.result import Stopped
from llamac.verify.stuck import REQUEST
from llamac.verify.worker import log_path, place_path, record_path, run_rank

GRACE = 3.0
"""Seconds the other ranks get after one has died: they usually wait for it in a collective."""

TICK = 1.0
"""Seconds between two looks at the ranks."""

ANSWER = 5.0
"""Seconds that ranks get to say where they hang."""


def execute(
    task: Task, patience: float, grace: float = GRACE
) -> tuple[list[Record], list[Stopped]]:
    """Records of all ranks, or who stopped and why; no process outlives the call.

    patience  seconds without a sign of life from any rank, after which they count as hanging
    grace     seconds that the others get after one has died
    """
    context = multiprocessing.get_context("fork")
    # Until then no rank calls the store: its thread, answering, would hold locks of the C library
    # (the resolver's) that a process forked in that moment inherits taken, for good.
    all_forked = context.Event()
    processes = [
        context.Process(target=run_rank, args=(rank, task, all_forked), daemon=True)
        for rank in range(task.world)
    ]
    for process in processes:
        process.start()
    all_forked.set()
    try:
        _await(processes, task, (patience, grace))
        hanging = {rank: p for rank, p in enumerate(processes) if p.is_alive()}
        died = any(process.exitcode for process in processes)  # then the rest wait for the dead
        places = {} if died else _places(hanging, task)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
    crashed = [
        rank for rank, process in enumerate(processes) if process.exitcode and rank not in hanging
    ]
    stopped = _crashes(task, crashed) or [
        Stopped(rank, f"no progress for {patience:.0f} s: {place}")
        for rank, place in places.items()
    ]
    return ([] if stopped else [_load(task.output, rank) for rank in range(task.world)]), stopped


def import_ahead(files: Mapping[str, str]) -> None:
    """Import here what the program imports of torch, so that no rank has to: seconds each."""
    for text in files.values():
        for module in _imports(text):
            if module.split(".")[0] == "torch":
                with contextlib.suppress(ImportError):  # the ranks say so themselves
                    importlib.import_module(module)
    if any("torch.compile(" in text for text in files.values()):
        for module in ("torch._dynamo", "torch._inductor.compile_fx"):  # what the call loads
            importlib.import_module(module)


def _imports(text: str) -> Iterator[str]:
    """Modules a text names. Broken text has none here: the ranks say what is wrong with it."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for statement in ast.walk(tree):
        match statement:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module
            case _:
                pass


def store_for(world: int) -> TCPStore:
    """The meeting place of the ranks, on a port that the system chose; keep it while they run."""
    return TCPStore("127.0.0.1", 0, world, is_master=True, wait_for_workers=False)


def _await(processes: list[ForkProcess], task: Task, limits: tuple[float, float]) -> None:
    """Returns when all have ended, or none has written to its log for `patience` seconds."""
    logs = [log_path(task.output, rank) for rank in range(task.world)]
    patience, grace = limits
    left = patience
    written = 0
    while left > 0 and (alive := [process for process in processes if process.is_alive()]):
        before = time.monotonic()
        wait([process.sentinel for process in alive], timeout=min(left, TICK))
        # Of a longer time nobody ran: this machine was suspended, and its ranks with it.
        left -= min(time.monotonic() - before, 2 * TICK)
        if any(process.exitcode for process in processes):
            left, patience = min(left, grace), 0.0
        now = sum(log.stat().st_size for log in logs if log.exists())
        if now > written:
            written, left = now, max(left, patience)


def _places(hanging: Mapping[int, ForkProcess], task: Task) -> dict[int, str]:
    """Where each rank waits, by its own answer."""
    for process in hanging.values():
        if process.pid is not None:
            os.kill(process.pid, REQUEST)
    answers = {rank: place_path(task.output, rank) for rank in hanging}
    deadline = time.monotonic() + ANSWER
    while time.monotonic() < deadline and not all(path.exists() for path in answers.values()):
        time.sleep(0.05)
    return {
        rank: path.read_text(encoding="utf-8") if path.exists() else _stack(task, rank)
        for rank, path in answers.items()
    }


def _stack(task: Task, rank: int) -> str:
    """Of a rank that cannot answer in words (it has not got so far): the innermost calls."""
    log = log_path(task.output, rank)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    calls = [line.strip() for line in lines if line.startswith('  File "')]
    return f"before the first group, in {'; '.join(calls[:4]) or 'no call of Python'}"


def _crashes(task: Task, ranks: list[int]) -> list[Stopped]:
    """What ended each rank that failed, the first first: one that lost its neighbour fails too."""
    logs = {rank: log_path(task.output, rank) for rank in ranks}
    in_time = sorted(ranks, key=lambda rank: logs[rank].stat().st_mtime_ns)
    return [Stopped(rank, _last_words(logs[rank], task.program)) for rank in in_time]


def _last_words(log: Path, program: Path) -> str:
    """The last line of a log, and where in the program's text the traceback above it points."""
    lines = log.read_text(encoding="utf-8").strip().splitlines() or ["ended without a word"]
    own = [line.strip() for line in lines if str(program) in line]
    where = own[-1].replace(f"{program}/", "") if own else ""
    return f"{lines[-1]} ({where})" if where else lines[-1]


def _load(output: Path, rank: int) -> Record:
    return cast("Record", torch.load(record_path(output, rank), weights_only=True))
