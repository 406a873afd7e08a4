"""rope(x [batch, seq, heads, head_dim], positions [batch, seq]) -> same: rotary positions"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from compiler.operators.rule import Dims, Rule
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class Scaling:
    """Llama 3.1's: wavelengths above original/low are stretched by factor, below original/high
    kept, between them interpolated."""

    factor: float
    low: float
    high: float
    original: int


@dataclass(frozen=True)
class Rope:
    theta: float
    pairs: Literal["half", "interleaved"]
    scaling: Scaling | None

    name: ClassVar[str] = "rope"
    keeps_inputs: ClassVar[tuple[int, ...]] = (1,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Heads and batch may be cut; positions follow x where they share the dimension."""
        x = placements[0]
        x = x if isinstance(x, Shard) and x.dim != dims[0][-1] else R
        positions = x if isinstance(x, Shard) and x.dim in dims[1] else R
        return Rule((x, positions), (x,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 3.0 * math.prod(sizes[dim] for dim in dims[0])
