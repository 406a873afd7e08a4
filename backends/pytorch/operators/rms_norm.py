"""rms_norm(x, weight)"""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from compiler.operators import RmsNorm


def rms_norm(operator: RmsNorm, call: Call) -> str:
    """Norms of q and k have an eps of their own; those of the residual stream share one."""
    x, weight = call.arguments
    if "d_model" in x.dims:
        eps = call.names.shared("NORM_EPS", operator.eps)
    else:
        eps = call.names.own("QK_NORM_EPS", operator.eps)
    return f"rms_norm({x.text}, {weight.text}, {eps})"
