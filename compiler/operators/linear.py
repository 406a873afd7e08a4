"""linear(x [..., c...], weight [..., c...]): contracts the dimensions the two share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Definition, Dims, Rule
from compiler.placement import Partial, Placement, R, Shard


@dataclass(frozen=True)
class Linear(Definition):
    """A matrix product over named dimensions.

    Dimensions of the weight that x has are contracted; the others take their place in the output.
    """

    name = "linear"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)

    def contracted(self, dims: tuple[Dims, ...]) -> Dims:
        x, weight = dims
        return tuple(dim for dim in weight if dim in x)

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        x, weight = inputs
        contracted = self.contracted(inputs)
        kept = tuple(dim for dim in x if dim not in contracted)
        return kept + tuple(dim for dim in weight if dim not in contracted)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Column-parallel, row-parallel, or rows of x kept where they are."""
        x, weight = placements
        contracted = self.contracted(dims)
        if isinstance(weight, Shard):
            if weight.dim in contracted:
                return Rule((weight, weight), (Partial(),))
            return Rule((R, weight), (weight,))
        x = x if isinstance(x, Shard) and x.dim not in contracted else R
        return Rule((x, R), (x,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        """2 x multiply-adds of the forward; the backward costs twice that."""
        x, weight = dims
        return 2.0 * math.prod(sizes[dim] for dim in {*x, *weight})
