"""linear(x [..., c...], weight [..., c...]): contracts the dimensions the two share."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.operators.rule import Definition, Dims, Product, Rule, Saves
from compiler.placement import Partial, Placement, R, Shard


@dataclass(frozen=True)
class Linear(
    Definition,
    name="linear",
    work=Product(),
    outputs=("compute",),
    saves=Saves(inputs=(0,)),
):
    """A matrix product over named dimensions.

    Dimensions of the weight that x has are contracted; the others take their place in the output.
    """

    def contracts(self, dims: tuple[Dims, ...]) -> Dims:
        x, weight = dims
        return tuple(dim for dim in weight if dim in x)

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        x, weight = inputs
        contracted = self.contracts(inputs)
        kept = tuple(dim for dim in x if dim not in contracted)
        return (kept + tuple(dim for dim in weight if dim not in contracted),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Column-parallel, row-parallel, or rows of x kept where they are."""
        x, weight = placements
        contracted = self.contracts(dims)
        if isinstance(weight, Shard):
            if weight.dim in contracted:
                return Rule((weight, weight), (Partial(),))
            return Rule((R, weight), (weight,))
        x = x if isinstance(x, Shard) and x.dim not in contracted else R
        return Rule((x, R), (x,))
