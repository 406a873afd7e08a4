"""Stages of work in all processes, and process 0's verdict on each.

They talk through a key-value store and not by collectives, so that a process which hangs in one is
named as well.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import NamedTuple

from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

UNFIT = 71  # exit code: a node is not fit for the run
RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


class Stage(NamedTuple):
    name: str
    work: Callable[[], str | float | None]  # gives what is wrong, or a rate, or neither
    least: float = 0.0  # that a rate must reach
    code: int = UNFIT  # exit code if it is not passed; any other than UNFIT blames no node


def judged(store: Store, stages: Sequence[Stage], nodes: Sequence[str], wait: float) -> int:
    """Go through the stages, up to one that a process does not pass within `wait` seconds: the code
    of that one, or 0. `nodes` are their names; each has equally many processes."""
    code = next((one.code for one in stages if not one_passes(store, one, nodes, wait)), 0)
    # Process 0 keeps the store, so it leaves last. Where all passed, all will come.
    store.add("left", 1)
    until = time.monotonic() + (10 if code else wait)
    while RANK == 0 and store.add("left", 0) < WORLD and time.monotonic() < until:
        time.sleep(0.02)
    return code


def one_passes(store: Store, stage: Stage, nodes: Sequence[str], wait: float) -> bool:
    thread = Thread(target=tell, args=(store, stage), daemon=True)
    thread.start()
    if RANK == 0:  # which may hang as well
        passed = judge(store, stage, nodes, wait)
        store.set(f"{stage.name}/passed", str(passed))
    else:
        thread.join(wait)
    return store.get(f"{stage.name}/passed") == b"True"


def tell(store: Store, stage: Stage) -> None:
    try:
        told = stage.work()
    except (OSError, RuntimeError) as error:
        told = str(error)
    store.set(f"{stage.name}/{RANK}", json.dumps(told))


def judge(store: Store, stage: Stage, nodes: Sequence[str], wait: float) -> bool:
    """Print what is wrong in each process; returns whether nothing is."""
    late, until = set(range(WORLD)), time.monotonic() + wait
    while late and time.monotonic() < until:
        store.set("clock", str(time.time()))
        late = {rank for rank in late if not store.check([f"{stage.name}/{rank}"])}
        time.sleep(0.02)
    rates: list[float] = []
    bad: list[str] = []
    for rank in range(WORLD):
        node = nodes[rank * len(nodes) // WORLD]
        told = "no answer" if rank in late else json.loads(store.get(f"{stage.name}/{rank}"))
        if isinstance(told, float):
            rates.append(told)
            told = f"{told:.3g}, less than {stage.least:.3g}" if told < stage.least else None
        if told:
            bad += [] if node in bad else [node]
            print(f"preflight: {stage.name}: {node}, process {rank}: {told}")
    slowest = f", {min(rates):.3g} or more" if rates else ""
    print(f"preflight: {stage.name}: {'not ' if bad else ''}fine{slowest}")
    if bad and stage.code == UNFIT:
        print(f"preflight: leave out {len(bad)} of {len(nodes)} nodes: --exclude={','.join(bad)}")
    sys.stdout.flush()
    return not bad
