"""attention(q [batch, seq, heads, width], k [batch, seq, kv_heads, width],
v [batch, seq, kv_heads, value width], positions, documents, key_positions, key_documents
[batch, seq]) -> [batch, seq, heads, value width]

A query sees the keys of its document at its own position and before. Where the sequence is cut,
queries keep their part of positions and documents and see all keys, so keys' are passed whole.
Each key/value head serves heads / kv_heads query heads.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.operators.rule import Beside, Definition, Dims, Product, Rule, Saves
from compiler.placement import Placement, R, Shard


def log_sum_exp(dims: tuple[Dims, ...]) -> tuple[Beside, ...]:
    """One number per query and head, from which the backward makes the softmax again."""
    return (Beside("log_sum_exp", dims[0][:-1], "accumulate"),)


@dataclass(frozen=True)
class Attention(
    Definition,
    name="attention",
    work=Product(),
    outputs=("compute",),
    saves=Saves(inputs=(0, 1, 2), outputs=(0,), beside=log_sum_exp),
):
    """What happens to a score.

    scale      factor on scores
    window     positions seen, the own one included; 0: all before
    softcap    cap * tanh(score / cap) before the softmax; 0: none
    """

    scale: float
    window: int = 0
    softcap: float = 0.0

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        """As the queries, with the width of the values."""
        q, _, v, *_ = inputs
        return ((*q[:-1], v[-1]),)

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
        """Two products over the causal half: 2 b heads (width + value width) s^2 / 2."""
        batch, seq, heads, width = (sizes[dim] for dim in dims[0])
        return float(batch * heads * (width + sizes[dims[2][-1]]) * seq * seq)
