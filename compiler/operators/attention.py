"""attention(q [batch, seq, heads, head_dim], k, v [.., kv_heads, ..], positions, documents,
key_positions, key_documents [batch, seq])

A query sees the keys of its document at its own position and before. Where the sequence is cut,
queries keep their part of positions and documents and see all keys, so keys' are passed whole.
Each key/value head serves heads / kv_heads query heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Definition, Dims, Rule
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class Attention(Definition):
    """What happens to a score.

    scale      factor on scores
    window     positions seen, the own one included; 0: all before
    softcap    cap * tanh(score / cap) before the softmax; 0: none
    """

    scale: float
    window: int = 0
    softcap: float = 0.0

    name = "attention"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1, 2)
    keeps_output = True

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Query heads may be cut with their key/value heads, or over copies of them."""
        q, k = placements[0], placements[1]
        batch, seq, heads, _ = dims[0]
        kv_heads = dims[1][2]
        match q:
            case Shard(dim=dim) if dim == heads:
                kv = Shard(kv_heads) if k == Shard(kv_heads) else R
                return Rule((q, kv, kv, R, R, R, R), (q,))
            case Shard(dim=dim) if dim == batch:
                return Rule((q,) * 7, (q,))
            case Shard(dim=dim) if dim == seq:
                return Rule((q, R, R, q, q, R, R), (q,))
            case _:
                return Rule((R,) * 7, (R,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        """Two products over the causal half: 2 * 2 * b * heads * head_dim * s^2 / 2."""
        batch, seq, heads, head_dim = (sizes[dim] for dim in dims[0])
        return 2.0 * batch * heads * head_dim * seq * seq
