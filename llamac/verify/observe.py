"""What one rank of a program shows, driven by the names that its README promises.

An observable is a field of `StepRecord` or `Record`, its counterpart in `expected.Run`, and a line
of `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TypedDict, cast

import torch
from torch import Tensor

ORDERED = range(1, 18)
"""Blocks of corpora whose order is compared: it is drawn among 4, 16, or 64 places, of which those
past the last block are passed over."""


@dataclass(frozen=True)
class Task:
    """What a rank runs.

    steps     of training; `schedule` of the whole run, whose learning rates are asked for
    vectors   replace the initial ones: norms start as ones and biases as zeros, which hides them
    prefixes  texts of which the next token's logits are asked for; none where nothing is sampled
    forced    tokens that a sample is made to draw
    compiled  whether torch compiles the layers: it takes no text with marks in it
    """

    program: Path
    output: Path
    world: int
    port: int
    steps: int
    schedule: int
    device: str
    evaluates: bool
    vectors: Mapping[str, Tensor]
    prefixes: tuple[tuple[int, ...], ...]
    forced: tuple[int, ...]
    compiled: bool


class StepRecord(TypedDict):
    """One step: gradients before clipping, the rest after it. Tensors are this rank's parts."""

    position: int
    tokens: int
    loss: float
    grad_norm: float
    lr: float
    skipped: bool
    gradients: dict[str, Tensor]
    parameters: dict[str, Tensor]
    exp_avg: dict[str, Tensor]
    exp_avg_sq: dict[str, Tensor]
    adam_steps: dict[str, float]
    val_loss: float | None


class NotFinite(TypedDict):
    """A step with infinite gradients: whether it was skipped, and the weights after it."""

    skipped: bool
    parameters: dict[str, Tensor]


class Record(TypedDict):
    """What a rank leaves, and where in the full tensors its parts lie: moments may be cut where
    parameters are whole."""

    coordinates: dict[str, int]
    shapes: dict[str, list[int]]
    slices: dict[str, list[list[int]]]
    moment_slices: dict[str, list[list[int]]]
    initial: dict[str, Tensor]
    steps: list[StepRecord]
    position: int
    rates: list[float]
    orders: dict[int, list[int]]
    logits: list[Tensor]
    sample: str | None
    endings: list[str]
    not_finite: NotFinite
    lines: dict[str, list[int]]


def report_progress(at: str) -> None:
    """A line in the log is the sign of life that the parent watches for."""
    print(at, flush=True)


def observe(modules: Mapping[str, ModuleType], task: Task) -> Record:
    """Build, train, evaluate and sample; `lines` is the caller's to fill in."""
    train, parallel, data, config = (
        modules[name] for name in ("train", "parallel", "data", "config")
    )
    device = torch.device(task.device)
    parallel.connect(device)
    model, optimizer = train.build(device)
    report_progress("built")
    named: dict[str, Tensor] = dict(model.named_parameters())
    updated: dict[str, Tensor] = getattr(model, "rows", named)  # what the optimizer knows
    layout = model.layout
    slices = {name: parallel.local_slices(layout[name]) for name in named}

    initial = _local(named)
    for name, vector in task.vectors.items():
        if name in named:
            whole = vector.reshape(layout[name].shape)  # biases of heads are flat in the program
            _own_part(named[name]).copy_(whole[slices[name]])

    gradients = _watched_gradients(parallel)
    corpus = data.Corpus(config.TRAIN_DATA)
    validation = data.Corpus(config.VALIDATION_DATA) if task.evaluates else None
    steps: list[StepRecord] = []
    position, batches = 0, list[object]()
    for step in range(task.steps):
        batches = data.step_batches(corpus, position, device)
        result = train.train_step(model, optimizer, batches, step)
        moments = {name: optimizer.state[p] for name, p in updated.items()}
        steps.append(
            StepRecord(
                position=position,
                tokens=int(result.tokens),
                loss=float(result.loss),
                grad_norm=float(result.grad_norm),
                lr=float(result.lr),
                skipped=bool(result.skipped),
                gradients=gradients.pop() if gradients else {},
                parameters=_local(named),
                exp_avg=_local({name: at.get("exp_avg") for name, at in moments.items()}),
                exp_avg_sq=_local({name: at.get("exp_avg_sq") for name, at in moments.items()}),
                adam_steps={name: float(at.get("step", 0)) for name, at in moments.items()},
                val_loss=float(train.evaluate(model, validation, device)) if validation else None,
            )
        )
        position = data.next_position(position)
        report_progress(f"step {step}")
    bounds = {n: _bounded(slices[n], layout[n].shape) for n in named}
    cut = getattr(parallel, "own_rows", None)
    logits, sample = _sampled(train, model, task, device)
    endings = _endings(train, model, task, device)
    return Record(
        coordinates={axis: int(parallel.coordinate(axis)) for axis in parallel.AXES},
        shapes={name: [int(size) for size in layout[name].shape] for name in named},
        slices=bounds,
        moment_slices={n: _rows_of(bounds[n], cut) for n in named} if cut else bounds,
        initial=initial,
        steps=steps,
        position=position,
        rates=[float(train.learning_rate(step)) for step in range(task.schedule)],
        orders={n: [int(data.shuffled(i, n, 1)) for i in range(n)] for n in ORDERED},
        logits=logits,
        sample=sample,
        endings=endings,
        not_finite=_not_finite(train, parallel, (model, optimizer, batches, task.steps - 1)),
        lines={},
    )


def _watched_gradients(parallel: ModuleType) -> list[dict[str, Tensor]]:
    """Filled with every parameter's gradient before each clipping."""
    gradients: list[dict[str, Tensor]] = []
    clip = parallel.clip_gradients

    def watch_then_clip(model: torch.nn.Module, layout: object) -> Tensor:
        gradients.append(_local({name: p.grad for name, p in model.named_parameters()}))
        return clip(model, layout)

    vars(parallel)["clip_gradients"] = watch_then_clip
    return gradients


def _sampled(
    train: ModuleType, model: torch.nn.Module, task: Task, device: torch.device
) -> tuple[list[Tensor], str | None]:
    """Logits after each prefix, then those of every token of the sample; and its text."""
    if not task.prefixes:
        return [], None
    logits: list[Tensor] = []
    next_logits = train.next_logits

    def watched(model: torch.nn.Module, text: list[int], device: torch.device) -> Tensor:
        logits.append(next_logits(model, text, device))
        return logits[-1]

    vars(train)["next_logits"] = watched
    for prefix in task.prefixes:
        watched(model, [*prefix], device)
    text = str(train.sample(model, device))
    report_progress("sampled")
    return [_own_part(values).clone() for values in logits], text


def _always(logits: Tensor, *_: object) -> Tensor:
    return logits


def _endings(
    train: ModuleType, model: torch.nn.Module, task: Task, device: torch.device
) -> list[str]:
    """The sample in which every draw is one token, for each that is forced."""
    found: list[str] = []
    for token in task.forced:
        certain = torch.full((max(task.forced) + 1,), -math.inf)
        certain[token] = 0.0
        vars(train)["next_logits"] = partial(_always, certain)
        found.append(str(train.sample(model, device)))
    return found


def _not_finite(
    train: ModuleType, parallel: ModuleType, step: tuple[torch.nn.Module, object, object, int]
) -> NotFinite:
    """One more step, in which a gradient of every rank is infinite when it comes to clipping."""
    clip = parallel.clip_gradients

    def spoil_then_clip(model: torch.nn.Module, layout: object) -> Tensor:
        for p in model.parameters():
            if p.grad is not None:
                _own_part(p.grad).fill_(math.inf)
        return clip(model, layout)

    vars(parallel)["clip_gradients"] = spoil_then_clip
    result = train.train_step(*step)
    model = step[0]
    return NotFinite(
        skipped=bool(result.skipped), parameters=_local(dict(model.named_parameters()))
    )


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
