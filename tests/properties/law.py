"""The lowering law: a rank program, interpreted, is the model graph, interpreted."""

from __future__ import annotations

from torch import Tensor

from backends.interpreter import graph, step
from compiler.rank_program import RankProgram
from tests.properties.cases import Case

TOLERANCE = 1e-10
"""Largest error of a tensor against its largest element."""

ROUNDING = 1e-14
"""Of the model's largest gradient: what a gradient that is zero by algebra may differ by, such as
that of a query which sees one key."""


def differences(case: Case, program: RankProgram) -> dict[str, float]:
    """Error of every observable that breaks the law: `loss`, `norm`, gradients by full name."""
    whole = graph.step(case.graph, case.parameters, case.batch)
    shards = step.shard_parameters(program, case.parameters)
    found = step.step(program, shards, case.batch)
    wanted = step.shard_parameters(program, whole.gradients)
    largest = max(float(gradient.abs().max()) for gradient in whole.gradients.values())
    errors = {
        "loss": _error(found.loss, whole.loss.expand_as(found.loss), 0.0),
        "norm": _error(found.norm, whole.norm.expand_as(found.norm), 0.0),
    }
    for name, gradient in wanted.items():
        errors[name] = _error(found.gradients[name], gradient, ROUNDING * largest)
    return {name: error for name, error in errors.items() if not error <= TOLERANCE}


def _error(found: Tensor, wanted: Tensor, rounding: float) -> float:
    """0 where the difference is rounding."""
    difference = float((found - wanted).abs().max())
    if difference <= rounding:
        return 0.0
    scale = float(wanted.abs().max())
    return difference / scale if scale else float("inf")
