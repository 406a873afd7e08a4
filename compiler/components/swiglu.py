"""swiglu: w_down(silu(w_gate h) * w_up h)"""

from __future__ import annotations

from compiler.components.builder import Builder
from compiler.graph import Normal
from compiler.operators import Linear, SwigluGate
from compiler.schema.model import Swiglu


def swiglu(builder: Builder, entry: Swiglu, h: str, init: Normal) -> str:
    """h [batch, seq, d_model] -> [batch, seq, d_model], to be added to the residual."""
    d_ff = builder.dim("d_ff", entry.d_ff)
    w_gate = builder.parameter("ffn.w_gate", (d_ff, "d_model"), init)
    w_up = builder.parameter("ffn.w_up", (d_ff, "d_model"), init)
    w_down = builder.parameter("ffn.w_down", ("d_model", d_ff), init)
    gate = builder.apply("gate", Linear(), h, w_gate)
    up = builder.apply("up", Linear(), h, w_up)
    inner = builder.apply("inner", SwigluGate(), gate, up)
    return builder.apply("ffn_out", Linear(), inner, w_down)
