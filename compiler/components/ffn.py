"""swiglu, geglu: w_down(f(w_gate h) * w_up h); gelu: w_down(gelu(w_up h)). Biases optional."""

from __future__ import annotations

from typing import assert_never

from compiler.components.builder import Builder
from compiler.components.projection import biased
from compiler.graph import Normal
from compiler.operators import Gate, Gelu
from compiler.schema.model import Ffn, Geglu, Swiglu
from compiler.schema.model import Gelu as GeluEntry


def ffn(builder: Builder, entry: Ffn, h: str, init: Normal) -> str:
    """h [batch, seq, d_model] -> [batch, seq, d_model], to be added to the residual."""
    d_ff = builder.dim("d_ff", entry.d_ff)

    def matrix(output: str, x: str, letter: str, dims: tuple[str, str]) -> str:
        weight = builder.parameter(f"ffn.w_{letter}", dims, init)
        bias = f"ffn.b_{letter}" if entry.bias else ""
        return biased(builder, output, x, weight, bias, dims[:1])

    match entry:
        case Swiglu():
            gate = matrix("gate", h, "gate", (d_ff, "d_model"))
            up = matrix("up", h, "up", (d_ff, "d_model"))
            inner = builder.apply("inner", Gate("silu"), gate, up)
        case Geglu():
            gate = matrix("gate", h, "gate", (d_ff, "d_model"))
            up = matrix("up", h, "up", (d_ff, "d_model"))
            inner = builder.apply("inner", Gate("gelu"), gate, up)
        case GeluEntry():
            inner = builder.apply("inner", Gelu(), matrix("up", h, "up", (d_ff, "d_model")))
        case _:
            assert_never(entry)
    return matrix("ffn_out", inner, "down", ("d_model", d_ff))
