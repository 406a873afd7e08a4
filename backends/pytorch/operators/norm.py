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
    """Norms of q and k have an eps of their own; those of the residual stream share one."""
    if "d_model" in call.arguments[0].dims:
        return call.names.set("NORM_EPS", eps, "model.norm.eps")
    return call.names.set("QK_NORM_EPS", eps, "model.layer.attention.qk_norm.eps")
