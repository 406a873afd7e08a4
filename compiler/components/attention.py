"""gqa, mha, mqa: q, k, v projections, optional qk-norm and RoPE, attention, output projection."""

from __future__ import annotations

from typing import assert_never

from compiler.components.builder import MASK_INPUTS, Builder
from compiler.graph import Normal, Ones
from compiler.operators import Attention, Linear, RmsNorm, Rope
from compiler.operators.rope import Scaling
from compiler.schema.model import ChunkedMask, FullMask, Gqa, Llama3Scaling, SlidingMask
from compiler.schema.model import Rope as RopeEntry


def attention(builder: Builder, entry: Gqa, h: str, init: Normal) -> str:
    """h [batch, seq, d_model] -> [batch, seq, d_model], to be added to the residual."""
    heads, kv = builder.dim("heads", entry.heads), builder.dim("kv_heads", entry.kv_heads)
    head_dim = builder.dim("head_dim", entry.head_dim)
    wq = builder.parameter("attention.wq", (heads, head_dim, "d_model"), init)
    wk = builder.parameter("attention.wk", (kv, head_dim, "d_model"), init)
    wv = builder.parameter("attention.wv", (kv, head_dim, "d_model"), init)
    wo = builder.parameter("attention.wo", ("d_model", heads, head_dim), init)
    q = builder.apply("q", Linear(), h, wq)
    k = builder.apply("k", Linear(), h, wk)
    v = builder.apply("v", Linear(), h, wv)
    if entry.qk_norm is not None:
        q_norm = builder.parameter("attention.q_norm", (head_dim,), Ones())
        k_norm = builder.parameter("attention.k_norm", (head_dim,), Ones())
        q = builder.apply("q_normed", RmsNorm(entry.qk_norm.eps), q, q_norm)
        k = builder.apply("k_normed", RmsNorm(entry.qk_norm.eps), k, k_norm)
    if entry.rope is not None:
        rope = rope_operator(entry.rope)
        q = builder.apply("q_rotated", rope, q, "positions")
        k = builder.apply("k_rotated", rope, k, "positions")
    match entry.mask:
        case FullMask():
            is_default = entry.scale == entry.head_dim**-0.5
            o = builder.apply("o", Attention(entry.scale, is_default), q, k, v, *MASK_INPUTS)
        case SlidingMask() | ChunkedMask():
            raise ValueError("a mask that the schema still marks as pending")
        case _:
            assert_never(entry.mask)
    return builder.apply("attention_out", Linear(), o, wo)


def rope_operator(entry: RopeEntry) -> Rope:
    match entry.scaling:
        case None:
            scaling = None
        case Llama3Scaling(factor=factor, low=low, high=high, original=original):
            scaling = Scaling(factor, low, high, original)
        case _:
            assert_never(entry.scaling)
    return Rope(entry.theta, entry.pairs, scaling)
