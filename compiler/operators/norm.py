"""Norms over the last dimension, for each row by itself.

rms_norm(x [..., d], weight [d]) -> x / sqrt(mean(x^2) + eps) * (offset + weight)
layer_norm(x [..., d], weight [d], bias [d]) -> (x - mean(x)) / sqrt(var(x) + eps) * weight + bias
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Dims, Rule
from compiler.placement import Placement, R, Shard


def _rule(dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
    """Rows are independent: any cut but the normalised dimension's passes through."""
    x = placements[0]
    x = x if isinstance(x, Shard) and x.dim != dims[0][-1] else R
    return Rule((x, *(R for _ in placements[1:])), (x,))


@dataclass(frozen=True)
class RmsNorm:
    """`offset` is 1 where the weight is kept as its distance from one (Gemma), else 0."""

    eps: float
    offset: float = 0.0

    name: ClassVar[str] = "rms_norm"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _rule(dims, placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 4.0 * math.prod(sizes[dim] for dim in dims[0])


@dataclass(frozen=True)
class LayerNorm:
    eps: float

    name: ClassVar[str] = "layer_norm"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _rule(dims, placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 7.0 * math.prod(sizes[dim] for dim in dims[0])
