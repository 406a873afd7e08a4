"""One rank of the emitted program, driven by the names its README promises, and observed.

Runs in a forked process: it may change the environment and the modules as it likes.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from types import ModuleType
from typing import TypedDict, cast

import torch
from torch import Tensor

from backends.pytorch import MODULES
from llamac.verify.stuck import RECORDED, REQUEST, answer_requests


@dataclass(frozen=True)
class Task:
    """What a rank runs: the program's folder, and vectors that replace the initial ones.

    Norms start as ones and biases as zeros, which hides them; both sides get `vectors` instead.
    """

    program: Path
    output: Path
    world: int
    port: int
    steps: int
    device: str
    evaluates: bool
    vectors: Mapping[str, Tensor]


class StepRecord(TypedDict):
    """One step: gradients before clipping, the rest after it. Tensors are this rank's parts."""

    loss: float
    grad_norm: float
    lr: float
    gradients: dict[str, Tensor]
    parameters: dict[str, Tensor]
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]
    adam_steps: dict[str, float]
    val_loss: float | None


class Record(TypedDict):
    """What a rank leaves, and where in the full tensors its parts lie: moments may be cut where
    parameters are whole."""

    coordinates: dict[str, int]
    shapes: dict[str, list[int]]
    slices: dict[str, list[list[int]]]
    moment_slices: dict[str, list[list[int]]]
    initial: dict[str, Tensor]
    steps: list[StepRecord]


def record_path(output: Path, rank: int) -> Path:
    return output / f"rank-{rank}.pt"


def log_path(output: Path, rank: int) -> Path:
    return output / f"rank-{rank}.log"


def place_path(output: Path, rank: int) -> Path:
    """Where a rank that hangs says so, when it is asked."""
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
    record = _observe(rank, task)
    torch.save(record, record_path(task.output, rank))
    log.flush()
    os._exit(0)  # without the interpreter's exit: groups need no farewell from a process that ends


def _alive(at: str) -> None:
    """A line in the log is the sign of life that the parent watches for."""
    print(at, flush=True)


def _observe(rank: int, task: Task) -> Record:
    modules = _import_program(rank, task)
    _alive("imported")
    train, parallel, data, config = (
        modules[name] for name in ("train", "parallel", "data", "config")
    )
    answer_requests(place_path(task.output, rank), task.program, parallel.GROUPS)
    device = torch.device(task.device)
    parallel.connect(device)
    model, optimizer = train.build(device)
    _alive("built")
    named: dict[str, Tensor] = dict(model.named_parameters())
    updated: dict[str, Tensor] = getattr(model, "rows", named)  # what the optimizer knows
    layout = model.layout
    slices = {name: parallel.local_slices(layout[name]) for name in named}

    initial = _local(named)
    for name, vector in task.vectors.items():
        if name in named:
            whole = vector.reshape(layout[name].shape)  # biases of heads are flat in the program
            _own_part(named[name]).copy_(whole[slices[name]])

    gradients: list[dict[str, Tensor]] = []
    clip = parallel.clip_gradients

    def watch_then_clip(model: torch.nn.Module, layout: object) -> Tensor:
        gradients.append(_local({name: p.grad for name, p in model.named_parameters()}))
        return clip(model, layout)

    vars(parallel)["clip_gradients"] = watch_then_clip
    corpus = data.Corpus(config.TRAIN_DATA)
    validation = data.Corpus(config.VALIDATION_DATA) if task.evaluates else None
    steps: list[StepRecord] = []
    position = 0
    for step in range(task.steps):
        batches = data.step_batches(corpus, position, device)
        position = data.next_position(position)
        result = train.train_step(model, optimizer, batches, step)
        moments = {name: optimizer.state[p] for name, p in updated.items()}
        steps.append(
            StepRecord(
                loss=float(result.loss),
                grad_norm=float(result.grad_norm),
                lr=float(result.lr),
                gradients=gradients.pop() if gradients else {},
                parameters=_local(named),
                exp_avg=_local({name: at.get("exp_avg") for name, at in moments.items()}),
                exp_avg_sq=_local({name: at.get("exp_avg_sq") for name, at in moments.items()}),
                adam_steps={name: float(at.get("step", 0)) for name, at in moments.items()},
                val_loss=float(train.evaluate(model, validation, device)) if validation else None,
            )
        )
        _alive(f"step {step}")
    bounds = {n: _bounded(slices[n], layout[n].shape) for n in named}
    cut = getattr(parallel, "own_rows", None)
    return Record(
        coordinates={axis: int(parallel.coordinate(axis)) for axis in parallel.AXES},
        shapes={name: [int(size) for size in layout[name].shape] for name in named},
        slices=bounds,
        moment_slices={n: _rows_of(bounds[n], cut) for n in named} if cut else bounds,
        initial=initial,
        steps=steps,
    )


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


def _bounded(slices: tuple[slice, ...], shape: tuple[int, ...]) -> list[list[int]]:
    """First and end of every dimension."""
    return [list(s.indices(size)[:2]) for s, size in zip(slices, shape, strict=True)]


def _rows_of(bounds: list[list[int]], cut: Callable[[Tensor], Tensor]) -> list[list[int]]:
    """The part of a part that `cut` takes of its rows."""
    (first, end), *rest = bounds
    rows = cut(torch.arange(first, end))
    first = int(rows[0]) if len(rows) else end
    return [[first, first + len(rows)], *rest]


def _own_part(tensor: Tensor) -> Tensor:
    """The part that this rank stores, sharing its memory."""
    local = getattr(tensor.detach(), "to_local", None)
    return cast("Tensor", local()) if local is not None else tensor.detach()


def _local(tensors: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Copies of the local parts; a missing tensor is an empty one, found by the comparison."""
    return {
        name: torch.empty(0) if tensor is None else _own_part(tensor).clone()
        for name, tensor in tensors.items()
    }
