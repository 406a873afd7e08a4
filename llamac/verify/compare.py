"""Every rank's local tensors against the same part of the reference's full tensors.

Comparing ranks one by one (not a reassembled tensor) also holds the copies against each other:
ranks that should hold equal values must each hold the right one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from llamac.verify.cause import NO_CAUSE, Cause, Parts, find_cause
from llamac.verify.expected import Run
from llamac.verify.observe import Record
from llamac.verify.result import Difference, Observable
from llamac.verify.where import line_of

BOUND = 1e-10
"""max|a - b| / max|b| of a tensor; the noise of a correct program is about 1e-13."""

ROUNDING = 1e-15
"""Of an observable's largest element over all tensors: a difference below it is rounding. Some
gradients are zero by algebra (a key's bias without RoPE shifts all scores of a query alike), and
what is left of them was 1.1e-16 of the largest gradient at most, in random plans and named layouts.
A gradient of a millionth of the largest that has the wrong sign is 1e9 times above this bound."""

EXACT = 0.0
"""For what is drawn or counted rather than computed."""

Bounds = Mapping[str, float]
"""Observable -> largest error."""

BOUNDS: Bounds = {
    **dict.fromkeys(
        ("initial", "adam_step", "tokens", "position", "skipped", "sample", "order"), EXACT
    ),
    **dict.fromkeys(("loss", "val_loss", "gradient", "grad_norm", "lr", "schedule"), BOUND),
    **dict.fromkeys(("exp_avg", "exp_avg_sq", "parameter", "logits", "unchanged"), BOUND),
}


@dataclass(frozen=True)
class Comparison:
    """One tensor at one step: the error on each rank, over the largest expected element."""

    observable: str
    tensor: str
    step: int
    bound: float
    errors: tuple[float, ...]
    cause: Cause

    @property
    def worst(self) -> float:
        return max(self.errors)


def compare(
    records: list[Record],
    run: Run,
    files: Mapping[str, str],
    bounds: Bounds = BOUNDS,
) -> tuple[tuple[Observable, ...], tuple[Difference, ...]]:
    """The worst tensor of each observable, and all that are out of bound, with their lines in the
    program's `files`."""
    comparisons = list(_all(records, run, bounds))
    worst: dict[str, Comparison] = {}
    for comparison in comparisons:
        known = worst.get(comparison.observable)
        if known is None or comparison.worst > known.worst:
            worst[comparison.observable] = comparison
    return (
        tuple(Observable(c.observable, c.tensor, c.step, c.worst, c.bound) for c in worst.values()),
        tuple(_difference(c, files) for c in comparisons if c.worst > c.bound),
    )


def _difference(comparison: Comparison, files: Mapping[str, str]) -> Difference:
    return Difference(
        observable=comparison.observable,
        tensor=comparison.tensor,
        axis=comparison.cause.axis,
        why=comparison.cause.why,
        line=line_of(files, comparison.observable, comparison.tensor),
        step=comparison.step,
        rank=comparison.errors.index(comparison.worst),
        error=comparison.worst,
        bound=comparison.bound,
    )


def _all(records: list[Record], run: Run, bounds: Bounds) -> Iterator[Comparison]:
    """In the order of the run, so that the first difference is the earliest."""

    def number(
        observable: str, step: int, expected: float, got: list[float], name: str = ""
    ) -> Comparison:
        return _number(observable, step, expected, records, got, name, bounds[observable])

    def tensors(
        observable: str, step: int, expected: Mapping[str, Tensor], got: list[dict[str, Tensor]]
    ) -> Iterator[Comparison]:
        return _tensors(observable, step, expected, records, got, bounds[observable])

    yield from tensors("initial", 0, run.initial, [r["initial"] for r in records])
    for i, step in enumerate(run.steps):
        got, at, after = [r["steps"][i] for r in records], i + 1, step.after
        yield number("position", at, run.positions[i], [g["position"] for g in got])
        yield number("tokens", at, step.tokens, [g["tokens"] for g in got])
        yield number("loss", at, step.loss.item(), [g["loss"] for g in got])
        yield from tensors("gradient", at, step.gradients, [g["gradients"] for g in got])
        yield number("grad_norm", at, step.grad_norm.item(), [g["grad_norm"] for g in got])
        yield number("lr", at, step.lr, [g["lr"] for g in got])
        yield number("skipped", at, False, [g["skipped"] for g in got])
        yield from tensors("exp_avg", at, after.exp_avg, [g["exp_avg"] for g in got])
        yield from tensors("exp_avg_sq", at, after.exp_avg_sq, [g["exp_avg_sq"] for g in got])
        yield from tensors("parameter", at, after.parameters, [g["parameters"] for g in got])
        for name in after.parameters:
            own = _of_its_stages(records, name)
            counts = [got[rank]["adam_steps"].get(name, math.nan) for rank in own]
            held = [records[rank] for rank in own]
            bound = bounds["adam_step"]
            yield _number("adam_step", at, float(after.steps), held, counts, name, bound)
        if step.val_loss is not None:
            losses = [math.nan if g["val_loss"] is None else g["val_loss"] for g in got]
            yield number("val_loss", at, step.val_loss.item(), losses)
    last, after = len(run.steps), run.steps[-1].after
    yield number("position", last + 1, run.positions[-1], [r["position"] for r in records])
    for at, rate in enumerate(run.rates, start=1):
        rates = [r["rates"][at - 1] for r in records]
        yield number("schedule", at, rate, rates, f"learning_rate({at - 1})")
    for n, order in run.orders.items():
        errors = tuple(0.0 if r["orders"][n] == order else math.inf for r in records)
        yield Comparison("order", f"shuffled(i, {n}, 1)", last, bounds["order"], errors, NO_CAUSE)
    yield from _sampled(records, run, bounds)
    yield number("skipped", last + 1, True, [r["not_finite"]["skipped"] for r in records])
    kept = [r["not_finite"]["parameters"] for r in records]
    yield from tensors("unchanged", last + 1, after.parameters, kept)


def _sampled(records: list[Record], run: Run, bounds: Bounds) -> Iterator[Comparison]:
    """The logits of every token, which each rank has whole, and the text."""
    at = len(run.steps)
    for i, logits in enumerate(run.logits):
        held = [r["logits"][i] if i < len(r["logits"]) else None for r in records]
        wanted: list[Tensor | None] = [logits for _ in records]
        limits = (bounds["logits"], 0.0)
        yield _compared(records, "logits", f"next_logits {i + 1}", at, limits, held, wanted)
    if run.sample is not None:
        texts = [run.sample, *run.endings]
        for i, text in enumerate(texts):
            shown = [[r["sample"], *r["endings"]] for r in records]
            errors = tuple(0.0 if own[i : i + 1] == [text] else math.inf for own in shown)
            yield Comparison("sample", "sample", at, bounds["sample"], errors, NO_CAUSE)


def _number(
    observable: str,
    step: int,
    expected: float,
    records: list[Record],
    got: list[float],
    tensor: str,
    bound: float,
) -> Comparison:
    errors = tuple(_error(abs(value - expected), abs(expected)) for value in got)
    found = NO_CAUSE
    if max(errors) > bound:
        parts = Parts(
            got=[torch.tensor([value], dtype=torch.float64) for value in got],
            right=[torch.tensor([expected], dtype=torch.float64)] * len(got),
            place=[()] * len(got),
        )
        found = find_cause(records, parts, bound * abs(expected))
    return Comparison(observable, tensor or observable, step, bound, errors, found)


def _tensors(
    observable: str,
    step: int,
    expected: Mapping[str, Tensor],
    records: list[Record],
    got: list[dict[str, Tensor]],
    bound: float,
) -> Iterator[Comparison]:
    known = {name for parts in got for name in parts}
    sizes = (full.abs().max().item() for full in expected.values() if full.numel())
    share = ROUNDING**2 if observable == "exp_avg_sq" else ROUNDING  # squares of what is rounded
    rounding = share * max(sizes, default=0.0) if bound else 0.0
    for name in [*expected, *sorted(known - set(expected))]:
        own = _of_its_stages(records, name)
        held = [records[rank] for rank in own]
        parts = [got[rank].get(name) for rank in own]
        wanted = [_part(expected.get(name), record, observable, name) for record in held]
        found = _compared(held, observable, name, step, (bound, rounding), parts, wanted)
        errors = dict(zip(own, found.errors, strict=True))
        yield replace(found, errors=tuple(errors.get(rank, 0.0) for rank in range(len(records))))


def _of_its_stages(records: list[Record], name: str) -> list[int]:
    """The ranks that must hold a tensor: all of every pipeline stage of which any rank does, and
    all ranks where none does."""
    places = [record["coordinates"].get("pp", 0) for record in records]
    stages = {
        place for place, record in zip(places, records, strict=True) if name in record["shapes"]
    }
    return [rank for rank, place in enumerate(places) if place in (stages or set(places))]


def _place(record: Record, observable: str, name: str) -> list[list[int]]:
    """Where the rank's part lies in the whole tensor; of what every rank has whole, nowhere."""
    is_moment = observable.startswith("exp_avg")
    return record["moment_slices" if is_moment else "slices"].get(name, [])


def _part(full: Tensor | None, record: Record, observable: str, name: str) -> Tensor | None:
    """The rank's share of the full tensor; None where the program's layout has no such tensor."""
    shape = record["shapes"].get(name)
    if full is None or shape is None or math.prod(shape) != full.numel():
        return None
    return full.reshape(shape)[tuple(slice(*bounds) for bounds in _place(record, observable, name))]


def _compared(
    records: list[Record],
    observable: str,
    name: str,
    step: int,
    bounds: tuple[float, float],
    held: list[Tensor | None],
    wanted: list[Tensor | None],
) -> Comparison:
    """`bounds`: of the relative error, and below which a difference is rounding."""
    bound, rounding = bounds
    both = [
        (part, want)
        for part, want in zip(held, wanted, strict=True)
        if part is not None and want is not None and part.shape == want.shape
    ]
    if len(both) < len(records):  # absent, or of another shape
        absent = Cause("", "missing, or of another shape")
        return Comparison(observable, name, step, bound, (math.inf,) * len(records), absent)
    scale = max((want.abs().max().item() for _, want in both if want.numel()), default=0.0)
    errors = tuple(
        _error((part - want).abs().max().item() if want.numel() else 0.0, scale, bound, rounding)
        for part, want in both
    )
    found = NO_CAUSE
    if max(errors) > bound:
        parts = Parts(
            got=[part for part, _ in both],
            right=[want for _, want in both],
            place=[_place(record, observable, name) for record in records],
        )
        found = find_cause(records, parts, bound * scale)
    return Comparison(observable, name, step, bound, errors, found)


def _error(difference: float, scale: float, bound: float = 0.0, rounding: float = 0.0) -> float:
    """Relative; not a number is infinitely wrong, and what exceeds `bound` may be rounding."""
    if difference == 0.0:
        return 0.0
    ratio = difference / scale if scale else math.inf
    if ratio != ratio:
        return math.inf
    return 0.0 if ratio > bound and difference <= rounding else ratio
