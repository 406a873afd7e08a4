"""embedding(tokens [batch, seq], weight [vocab, d_model]) -> [batch, seq, d_model]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Definition, Dims, Rule
from compiler.placement import Partial, Placement, R, Shard


@dataclass(frozen=True)
class Embedding(Definition):
    name = "embedding"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        tokens, weight = inputs
        return (*tokens, weight[1])

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A cut vocabulary finds each token on one rank only, zeros elsewhere: a pending sum."""
        tokens, weight = placements
        if weight == Shard(dims[1][0]):
            return Rule((R, weight), (Partial(),))
        return Rule((tokens, R), (tokens,))
