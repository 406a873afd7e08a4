"""embedding(tokens [batch, seq], weight [vocab, d_model]) -> [batch, seq, d_model]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Dims, Rule
from compiler.placement import Partial, Placement, R, Shard


@dataclass(frozen=True)
class Embedding:
    name: ClassVar[str] = "embedding"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        tokens, weight = inputs
        return (*tokens, weight[1])

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A cut vocabulary finds each token on one rank only, zeros elsewhere: a pending sum."""
        tokens, weight = placements
        if weight == Shard(dims[1][0]):
            return Rule((R, weight), (Partial(),))
        return Rule((tokens, R), (tokens,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 0.0
