"""rms_norm(x, weight), layer_norm(x, weight, bias)"""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from compiler.operators import LayerNorm, RmsNorm


def rms_norm(operator: RmsNorm, call: Call) -> str:
    x, weight = call.arguments
    scale = f"1 + {weight.text}" if operator.offset else weight.text
    return f"rms_norm({x.text}, {scale}, {_eps(call, operator.eps)})"


def layer_norm(operator: LayerNorm, call: Call) -> str:
    return f"layer_norm({call.texts()}, {_eps(call, operator.eps)})"


def _eps(call: Call, eps: float) -> str:
    """NORM_EPS of `norm`, QK_NORM_EPS of `qk_norm`."""
    entry = call.origin.path.rpartition(".")[2]
    return call.constant(f"{entry.upper()}_EPS", eps, "eps")
