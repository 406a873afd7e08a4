"""rms, layer: a norm over the last dimension, with its weights."""

from __future__ import annotations

from typing import assert_never

from compiler.components.builder import Builder
from compiler.graph import Ones, Zeros
from compiler.operators import LayerNorm, RmsNorm
from compiler.schema.model import LayerNorm as LayerNormEntry
from compiler.schema.model import Norm
from compiler.schema.model import RmsNorm as RmsNormEntry


def norm(builder: Builder, entry: Norm, output: str, x: str, weight: str) -> str:
    """x [..., d] -> [..., d]; `weight` names the parameter (a layer norm's bias follows it)."""
    dims = builder.known[x].dims[-1:]
    match entry:
        case RmsNormEntry(eps=eps, unit_offset=unit_offset):
            init = Zeros() if unit_offset else Ones()
            scale = builder.parameter(weight, dims, init)
            return builder.apply(output, RmsNorm(eps, 1.0 if unit_offset else 0.0), x, scale)
        case LayerNormEntry(eps=eps):
            scale = builder.parameter(weight, dims, Ones())
            bias = builder.parameter(weight.removesuffix(".weight") + ".bias", dims, Zeros())
            return builder.apply(output, LayerNorm(eps), x, scale, bias)
        case _:
            assert_never(entry)
