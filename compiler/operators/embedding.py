"""embedding(tokens [batch, seq], weight [vocab, d_model]) -> [batch, seq, d_model]"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
from compiler.placement import Partial, Placement, R, Shard


@dataclass(frozen=True)
class Embedding(
    Definition,
    name="embedding",
    work=PerElement(0.0),
    outputs=("compute",),
    saves=Saves(inputs=(0,)),
):
    """A look-up of rows, which model FLOPs do not count."""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        tokens, weight = inputs
        return ((*tokens, weight[1]),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A cut vocabulary finds each token on one rank only, zeros elsewhere: a pending sum."""
        tokens, weight = placements
        if weight == Shard(dims[1][0]):
            return Rule((R, weight), (Partial(),))
        return Rule((tokens, R), (tokens,))

    def sides(self, dims: tuple[Dims, ...], index: int) -> tuple[Dims, ...]:
        """A table: one row per token of the vocabulary."""
        return tuple((dim,) for dim in dims[index])
