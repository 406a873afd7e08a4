"""Norms over the last dimension, for each row by itself.

rms_norm(x [..., d], weight [d]) -> x / sqrt(mean(x^2) + eps) * (offset + weight)
layer_norm(x [..., d], weight [d], bias [d]) -> (x - mean(x)) / sqrt(var(x) + eps) * weight + bias
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class RowNorm:
    """What the two share."""

    eps: float

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Rows are independent: any cut but the normalised dimension's passes through."""
        x = placements[0]
        x = x if isinstance(x, Shard) and x.dim != dims[0][-1] else R
        return Rule((x, *(R for _ in placements[1:])), (x,))


@dataclass(frozen=True)
class RmsNorm(
    RowNorm,
    Definition,
    name="rms_norm",
    work=PerElement(4.0),
    outputs=("compute",),
    saves=Saves(inputs=(0,)),
):
    """`offset` is 1 where the weight is kept as its distance from one (Gemma), else 0."""

    offset: float = 0.0


@dataclass(frozen=True)
class LayerNorm(
    RowNorm,
    Definition,
    name="layer_norm",
    work=PerElement(7.0),
    outputs=("compute",),
    saves=Saves(inputs=(0,)),
):
    pass
