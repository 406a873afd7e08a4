"""rope(x [batch, seq, heads, head_dim], positions [batch, seq]) -> same: rotary positions"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
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
class Rope(
    Definition,
    name="rope",
    work=PerElement(3.0),
    outputs=("as input",),
    saves=Saves(inputs=(1,)),
):
    theta: float
    pairs: Literal["half", "interleaved"]
    scaling: Scaling | None

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Heads may be cut; batch and seq as the positions are: those never move, so x is gathered
        where they are whole."""
        x, positions = placements
        match x:
            case Shard(dim=dim) if dim in dims[1]:
                return Rule((x, x), (x,)) if positions == x else Rule((R, R), (R,))
            case Shard(dim=dim) if dim != dims[0][-1]:
                return Rule((x, R), (x,))
            case _:
                return Rule((R, R), (R,))
