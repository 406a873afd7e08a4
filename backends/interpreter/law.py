"""The lowering law: a rank program, interpreted, is the model graph, interpreted."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backends.interpreter import graph as graphs
from backends.interpreter import step as ranks
from backends.interpreter.batch import Batch
from backends.interpreter.pipeline import kept_on
from compiler.graph import ModelGraph
from compiler.rank_program import RankProgram

TOLERANCE = 1e-10
"""Largest error of a tensor against its largest element."""

ROUNDING = 1e-14
"""Of the model's largest gradient: what a gradient that is zero by algebra may differ by, such as
that of a query which sees one key."""


def errors(
    graph: ModelGraph, program: RankProgram, parameters: Mapping[str, Tensor], batch: Batch
) -> dict[str, float]:
    """Error of every observable of one step: `loss`, `grad_norm`, gradients by full name, each on
    the ranks that hold it; not a number counts as infinite."""
    whole = graphs.step(graph, parameters, batch)
    found = ranks.step(program, ranks.shard_parameters(program, parameters), batch)
    wanted = ranks.shard_parameters(program, whole.gradients)
    largest = max(float(gradient.abs().max()) for gradient in whole.gradients.values())
    result = {
        "loss": _error(found.loss, whole.loss.expand_as(found.loss), 0.0),
        "grad_norm": _error(found.norm, whole.norm.expand_as(found.norm), 0.0),
    }
    for name, gradient in wanted.items():
        result[name] = max(
            _error(
                kept_on(program.mesh, found.gradients[name], stage),
                kept_on(program.mesh, gradient, stage),
                ROUNDING * largest,
            )
            for stage in ranks.held_on(program, name)
        )
    return result


def _error(found: Tensor, wanted: Tensor, rounding: float) -> float:
    """0 where the difference is rounding."""
    difference = float((found - wanted).abs().max())
    if difference <= rounding:
        return 0.0
    scale = float(wanted.abs().max())
    ratio = difference / scale if scale else float("inf")
    return ratio if ratio == ratio else float("inf")
