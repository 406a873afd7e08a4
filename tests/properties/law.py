"""The lowering law: a rank program, interpreted, is the model graph, interpreted."""

from __future__ import annotations

from torch import Tensor

from backends.interpreter import graph, step
from backends.interpreter.pipeline import kept_on
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
        for stage in step.held_on(program, name):
            here, there = (
                kept_on(program.mesh, x, stage) for x in (found.gradients[name], gradient)
            )
            error = _error(here, there, ROUNDING * largest)
            errors[name] = max(errors.get(name, 0.0), error)
    return {name: error for name, error in errors.items() if not error <= TOLERANCE}


def _error(found: Tensor, wanted: Tensor, rounding: float) -> float:
    """0 where the difference is rounding."""
    difference = float((found - wanted).abs().max())
    if difference <= rounding:
        return 0.0
    scale = float(wanted.abs().max())
    return difference / scale if scale else float("inf")
