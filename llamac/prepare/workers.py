"""Tasks on all cores. A worker takes the next task when it is done with one; what it leaves is on
the disk, so nothing is lost when any process is killed, and nobody waits for a dead one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, MutableSequence, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol, cast

from llamac.prepare.shard import Task, carry_out
from llamac.prepare.unit import MissingLibrary, WrongData

POLL_SECONDS = 0.1

Problem = WrongData | MissingLibrary | OSError


class _Number(Protocol):
    """A number that processes share; one that is killed may keep its lock for ever."""

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
    """Carry out all tasks; `progress` receives the bytes of input read since its last call."""
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
    try:
        following = context.Value("q", 0)
        # Each worker adds to its own number, so this process needs no lock.
        read = context.RawArray("q", processes)
    except OSError as error:
        why = f"{error.strerror}; processes need it to share memory, `--processes 1` does not"
        raise OSError(error.errno, why, "/dev/shm") from error
    workers: dict[Connection, SpawnProcess] = {}
    told = 0
    try:
        with _interrupts_held():
            for number in range(processes):
                receiver, sender = context.Pipe(duplex=False)
                arguments = (tasks, following, read, number, sender, os.getpid())
                worker = context.Process(target=_work, args=arguments, daemon=True)
                worker.start()
                sender.close()
                workers[receiver] = worker
        waiting = set(workers)
        while waiting:
            # Ready is a connection with a message, and one whose worker has ended.
            ready = cast(list[Connection], wait([*waiting], timeout=POLL_SECONDS))
            now = sum(read)
            progress(now - told)
            told = now
            for connection in ready:
                waiting.remove(connection)
                _outcome(workers[connection], connection, tasks)
    finally:
        for connection, worker in workers.items():
            worker.kill()
            worker.join()
            connection.close()


@contextmanager
def _interrupts_held() -> Generator[None]:
    """Delay an interrupt until the block ends. Processes started in it never receive one: this
    process decides what an interrupt ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outcome(worker: SpawnProcess, connection: Connection, tasks: Sequence[Task]) -> None:
    """Of a worker that has ended or is about to; an error of its task is raised here."""
    with suppress(EOFError, OSError):  # it sent nothing, or only part of a message
        index, problem = cast(tuple[int, Problem], connection.recv())
        raise FailedTask(tasks[index], problem)
    worker.join()
    if worker.exitcode is not None and worker.exitcode < 0:
        raise WorkerDied(worker.exitcode)
    if worker.exitcode != 0:
        raise RuntimeError(f"a worker ended with {worker.exitcode}: what it said is above")


def _work(
    tasks: Sequence[Task],
    following: _Number,
    read: MutableSequence[int],
    number: int,
    sender: Connection,
    parent: int,
) -> None:
    """In worker `number`: one task after the other, until none is left or the parent is gone."""

    def tick(size: int) -> None:
        read[number] += size
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
            with suppress(BrokenPipeError):  # nobody is left to be told
                sender.send((index, problem))
            return
