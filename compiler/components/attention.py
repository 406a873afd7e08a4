"""gqa, mha, mqa: q, k, v projections, optional qk-norm and RoPE, attention, output projection."""

from __future__ import annotations

from typing import assert_never

from compiler.components.builder import MASK_INPUTS, Builder
from compiler.components.norm import norm
from compiler.components.projection import projection
from compiler.graph import Normal
from compiler.operators import Attention, Rope
from compiler.operators.rope import Scaling
from compiler.schema.model import ChunkedMask, FullMask, Gqa, Llama3Scaling, Mask, SlidingMask
from compiler.schema.model import Rope as RopeEntry


def attention(builder: Builder, entry: Gqa, h: str, init: Normal) -> str:
    """h [batch, seq, d_model] -> [batch, seq, d_model], to be added to the residual."""
    heads = builder.dim("heads", entry.heads)
    kv = builder.dim("kv_heads", entry.kv_heads)
    head_dim = builder.dim("head_dim", entry.head_dim)
    q, k, v = (
        projection(builder, name, h, (count, head_dim), ("d_model",), init, entry.bias)
        for name, count in (("q", heads), ("k", kv), ("v", kv))
    )
    if entry.qk_norm is not None:
        with builder.at(".qk_norm", entry.qk_norm):
            q = norm(builder, entry.qk_norm, "q_normed", q, "attention.q_norm")
            k = norm(builder, entry.qk_norm, "k_normed", k, "attention.k_norm")
    if entry.rope is not None:
        rope = rope_operator(entry.rope)
        with builder.at(".rope", entry.rope):
            q = builder.apply("q_rotated", rope, q, "positions")
            k = builder.apply("k_rotated", rope, k, "positions")
    operator = Attention(entry.scale, window(entry.mask), entry.softcap or 0.0)
    o = builder.apply("o", operator, q, k, v, *MASK_INPUTS)
    return projection(
        builder, "attention_out", o, ("d_model",), (heads, head_dim), init, entry.bias, "o"
    )


def window(mask: Mask) -> int:
    """Positions seen; 0 where all before are."""
    match mask:
        case FullMask():
            return 0
        case SlidingMask(window=positions):
            return positions
        case ChunkedMask():
            raise ValueError("a chunked mask: the planner refuses it")
        case _:
            assert_never(mask)


def rope_operator(entry: RopeEntry) -> Rope:
    match entry.scaling:
        case None:
            scaling = None
        case Llama3Scaling(factor=factor, low=low, high=high, original=original):
            scaling = Scaling(factor, low, high, original)
        case _:
            assert_never(entry.scaling)
    return Rope(entry.theta, entry.pairs, scaling)
