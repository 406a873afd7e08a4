"""Every rank's local tensors against the same part of the reference's full tensors.

Comparing ranks one by one (not a reassembled tensor) also holds the copies against each other:
ranks that should hold equal values must each hold the right one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from backends.reference.training import Run
from llamac.verify.result import Difference, Observable
from llamac.verify.worker import Record

BOUND = 1e-10
"""max|a - b| / max|b| of a tensor; the noise of a correct program is about 1e-13."""

EXACT = 0.0
"""For what is drawn or counted rather than computed."""


@dataclass(frozen=True)
class Comparison:
    """One tensor at one step: the error on each rank, over the largest expected element."""

    observable: str
    tensor: str
    step: int
    bound: float
    errors: tuple[float, ...]
    axis: str

    @property
    def worst(self) -> float:
        return max(self.errors)


def compare(
    records: list[Record], initial: Mapping[str, Tensor], run: Run
) -> tuple[tuple[Observable, ...], tuple[Difference, ...]]:
    """The worst tensor of each observable, and all that are out of bound."""
    comparisons = list(_all(records, initial, run))
    worst: dict[str, Comparison] = {}
    for comparison in comparisons:
        known = worst.get(comparison.observable)
        if known is None or comparison.worst > known.worst:
            worst[comparison.observable] = comparison
    return (
        tuple(Observable(c.observable, c.tensor, c.step, c.worst, c.bound) for c in worst.values()),
        tuple(_difference(c) for c in comparisons if c.worst > c.bound),
    )


def _difference(comparison: Comparison) -> Difference:
    return Difference(
        observable=comparison.observable,
        tensor=comparison.tensor,
        axis=comparison.axis,
        step=comparison.step,
        rank=comparison.errors.index(comparison.worst),
        error=comparison.worst,
        bound=comparison.bound,
    )


def _all(records: list[Record], initial: Mapping[str, Tensor], run: Run) -> Iterator[Comparison]:
    """In the order of the run, so that the first difference is the earliest."""
    yield from _tensors(records, "initial", 0, initial, lambda r: r["initial"], EXACT)
    for i, step in enumerate(run.steps):
        at = i + 1
        yield _number(
            records, "loss", at, step.loss.item(), [r["steps"][i]["loss"] for r in records]
        )
        yield from _tensors(
            records, "gradient", at, step.gradients, lambda r, i=i: r["steps"][i]["gradients"]
        )
        norms = [r["steps"][i]["grad_norm"] for r in records]
        yield _number(records, "grad_norm", at, step.grad_norm.item(), norms)
        yield _number(records, "lr", at, step.lr, [r["steps"][i]["lr"] for r in records])
    last, final = len(run.steps), run.final
    yield from _tensors(records, "parameter", last, final.parameters, lambda r: r["parameters"])
    yield from _tensors(records, "exp_avg", last, final.exp_avg, lambda r: r["exp_avg"])
    yield from _tensors(records, "exp_avg_sq", last, final.exp_avg_sq, lambda r: r["exp_avg_sq"])
    for name in final.parameters:
        counts = [r["adam_steps"].get(name, math.nan) for r in records]
        yield _number(records, "adam_step", last, float(final.steps), counts, name, EXACT)


def _number(
    records: list[Record],
    observable: str,
    step: int,
    expected: float,
    got: list[float],
    tensor: str = "",
    bound: float = BOUND,
) -> Comparison:
    errors = tuple(_error(abs(value - expected), abs(expected)) for value in got)
    copies = [torch.tensor(value) for value in got]
    axis = _disagreeing(records, copies, bound) or _scaled(
        records, [torch.tensor([value]) for value in got], [torch.tensor([expected])] * len(got)
    )
    return Comparison(observable, tensor or observable, step, bound, errors, axis)


def _tensors(
    records: list[Record],
    observable: str,
    step: int,
    expected: Mapping[str, Tensor],
    of: Callable[[Record], Mapping[str, Tensor]],
    bound: float = BOUND,
) -> Iterator[Comparison]:
    known = {name for record in records for name in of(record)}
    for name in [*expected, *sorted(known - set(expected))]:
        parts = [of(record).get(name) for record in records]
        wanted = [_part(expected.get(name), record, name) for record in records]
        yield _compared(records, observable, name, step, bound, parts, wanted)


def _part(full: Tensor | None, record: Record, name: str) -> Tensor | None:
    """The rank's share of the full tensor; None where the program's layout has no such tensor."""
    shape = record["shapes"].get(name)
    if full is None or shape is None or math.prod(shape) != full.numel():
        return None
    return full.reshape(shape)[tuple(slice(*bounds) for bounds in record["slices"][name])]


def _compared(
    records: list[Record],
    observable: str,
    name: str,
    step: int,
    bound: float,
    parts: list[Tensor | None],
    wanted: list[Tensor | None],
) -> Comparison:
    both = [
        (part, want)
        for part, want in zip(parts, wanted, strict=True)
        if part is not None and want is not None and part.shape == want.shape
    ]
    if len(both) < len(records):  # absent, or of another shape
        errors = tuple(math.inf for _ in records)
        return Comparison(observable, name, step, bound, errors, "")
    scale = max((want.abs().max().item() for _, want in both if want.numel()), default=0.0)
    errors = tuple(
        _error((part - want).abs().max().item() if want.numel() else 0.0, scale)
        for part, want in both
    )
    if max(errors) <= bound:
        return Comparison(observable, name, step, bound, errors, "")
    got, right = [part for part, _ in both], [want for _, want in both]
    axis = _disagreeing(records, got, bound * scale, name) or _scaled(records, got, right)
    return Comparison(observable, name, step, bound, errors, axis)


def _error(difference: float, scale: float) -> float:
    """Relative, where not a number is infinitely wrong."""
    if difference == 0:
        return 0.0
    ratio = difference / scale if scale else math.inf
    return ratio if ratio == ratio else math.inf


def _disagreeing(
    records: list[Record], parts: list[Tensor], within: float, name: str | None = None
) -> str:
    """The axes along which ranks that should hold the same part hold different values."""
    found: list[str] = []
    for first, second in combinations(range(len(records)), 2):
        here, there = records[first], records[second]
        along = [
            axis for axis, at in here["coordinates"].items() if there["coordinates"][axis] != at
        ]
        same_part = name is None or here["slices"][name] == there["slices"][name]
        if len(along) == 1 and same_part and along[0] not in found and parts[first].numel():
            apart = (parts[first] - parts[second]).abs().max().item()
            if not apart <= within:
                found.append(along[0])
    return ", ".join(found)


def _scaled(records: list[Record], got: list[Tensor], right: list[Tensor]) -> str:
    """The axis whose size is the factor between what came and what should: sizes differ."""
    product = sum((a * b).sum().item() for a, b in zip(got, right, strict=True))
    square = sum((b * b).sum().item() for b in right)
    if not square or not math.isfinite(product) or not product:
        return ""
    factor = product / square
    residue = max(
        (a - factor * b).abs().max().item() if a.numel() else 0.0
        for a, b in zip(got, right, strict=True)
    )
    if residue > 1e-6 * square**0.5:
        return ""
    for axis in records[0]["coordinates"]:
        size = 1 + max(record["coordinates"][axis] for record in records)
        if size > 1 and (math.isclose(factor, size) or math.isclose(factor, 1 / size)):
            return axis
    return ""
