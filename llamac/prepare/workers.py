"""Tasks on all cores. A worker takes the next task when it is done with one; what it leaves is on
the disk, so nothing is lost when any process is killed, and nobody waits for a dead one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol, cast

from llamac.prepare.shard import Task, carry_out
from llamac.prepare.unit import MissingLibrary, WrongData

POLL_SECONDS = 0.1

Problem = WrongData | MissingLibrary | OSError


class _Number(Protocol):
    """A number that processes share."""

    value: int

    def get_lock(self) -> _Lock: ...


class _Lock(Protocol):
    def __enter__(self) -> bool: ...

    def __exit__(self, *_: object) -> None: ...


class WorkerDied(Exception):
    """A worker was ended from outside; `args` are its exit code."""


class FailedTask(Exception):
    """The task and what was wrong with its data; `args` are both."""

    def __init__(self, task: Task, problem: Problem) -> None:
        super().__init__(task, problem)
        self.task, self.problem = task, problem


def run(tasks: Sequence[Task], processes: int, progress: Callable[[int], None]) -> None:
    """Carry out all tasks; `progress` is told how many bytes of input have been read since."""
    if min(processes, len(tasks)) <= 1:
        for task in tasks:
            try:
                carry_out(task, progress)
            except (WrongData, MissingLibrary, OSError) as problem:
                raise FailedTask(task, problem) from problem
        return
    _run_in_processes(tasks, min(processes, len(tasks)), progress)


def _run_in_processes(
    tasks: Sequence[Task], processes: int, progress: Callable[[int], None]
) -> None:
    context = multiprocessing.get_context("spawn")
    following, read = context.Value("q", 0), context.Value("q", 0)
    workers: list[SpawnProcess] = []
    connections: list[Connection] = []
    told = 0
    try:
        for _ in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (tasks, following, read, sender, os.getpid())
            worker = context.Process(target=_work, args=arguments, daemon=True)
            worker.start()
            sender.close()
            workers.append(worker)
            connections.append(receiver)
        waiting = dict(zip((worker.sentinel for worker in workers), range(processes), strict=True))
        while waiting:
            ended = wait([*waiting], timeout=POLL_SECONDS)
            now = read.value
            progress(now - told)
            told = now
            for sentinel in ended:
                index = waiting.pop(cast(int, sentinel))
                _outcome(workers[index], connections[index], tasks)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
        for connection in connections:
            connection.close()


def _outcome(worker: SpawnProcess, connection: Connection, tasks: Sequence[Task]) -> None:
    """Of a worker that has ended; an error of its task is raised here."""
    worker.join()
    if connection.poll():
        with suppress(EOFError):
            index, problem = cast(tuple[int, Problem], connection.recv())
            raise FailedTask(tasks[index], problem)
    if worker.exitcode is not None and worker.exitcode < 0:
        raise WorkerDied(worker.exitcode)
    if worker.exitcode != 0:
        raise RuntimeError(f"a worker ended with {worker.exitcode}: what it said is above")


def _work(
    tasks: Sequence[Task], following: _Number, read: _Number, sender: Connection, parent: int
) -> None:
    """In a worker: one task after the other, until none is left or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt ends

    def tick(size: int) -> None:
        with read.get_lock():
            read.value += size
        if os.getppid() != parent:
            os._exit(1)

    while True:
        with following.get_lock():
            index = following.value
            following.value += 1
        if index >= len(tasks):
            return
        try:
            carry_out(tasks[index], tick)
        except (WrongData, MissingLibrary, OSError) as problem:
            sender.send((index, problem))
            return
