"""One rank of the emitted program: a forked process with an environment of its own."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys
from multiprocessing.synchronize import Event
from pathlib import Path
from types import ModuleType

import torch

from backends.pytorch.emit import MODULES
from llamac.verify.lines import ExecutedLines
from llamac.verify.observe import Task, observe, report_progress
from llamac.verify.stuck import RECORDED, REQUEST, answer_requests


def record_path(output: Path, rank: int) -> Path:
    return output / f"rank-{rank}.pt"


def log_path(output: Path, rank: int) -> Path:
    return output / f"rank-{rank}.log"


def place_path(output: Path, rank: int) -> Path:
    """The file in which a hanging rank writes where it is, on request."""
    return output / f"rank-{rank}.place"


def run_rank(rank: int, task: Task, all_forked: Event) -> None:
    """Entry of the forked process; leaves a record, or a traceback at the end of its log."""
    gc.freeze()  # a collection would look at all that the parent has, and so copy its pages
    all_forked.wait()
    log = log_path(task.output, rank).open("w", encoding="utf-8")
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log
    faulthandler.register(REQUEST, log)  # until answer_requests: whoever hangs says where
    lines = ExecutedLines(task.program)
    if not task.compiled:
        lines.watch()
    modules = _import_program(rank, task)
    report_progress("imported")
    groups = modules["parallel"].GROUPS
    answer_requests(place_path(task.output, rank), task.program, groups)
    record = observe(modules, task)
    record["lines"] = lines.seen()
    torch.save(record, record_path(task.output, rank))
    log.flush()
    os._exit(0)  # without the interpreter's exit: groups need no farewell from a process that ends


def _import_program(rank: int, task: Task) -> dict[str, ModuleType]:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(task.world),
        "LOCAL_WORLD_SIZE": str(task.world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(task.port),
        # the store is the parent's: rank 0 opens no port of its own, so none can be taken
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        **RECORDED,
        # what inductor compiles goes with the scratch folder
        "TORCHINDUCTOR_CACHE_DIR": str(task.output / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    names = ("config", *MODULES)
    for name in names:
        sys.modules.pop(name, None)
    sys.path.insert(0, str(task.program))
    return {name: importlib.import_module(name) for name in names}
