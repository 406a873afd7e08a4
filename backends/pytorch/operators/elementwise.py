"""add, add_bias, swiglu, geglu, gelu, scale, softcap"""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from compiler.operators import Gate, Scale, Softcap


def add(call: Call) -> str:
    return f"{call.text(0)} + {call.text(1)}"


def add_bias(call: Call) -> str:
    """Biases are vectors, so that of heads is unflattened like what it is added to."""
    _, bias = call.arguments
    if len(bias.dims) == 1:
        return add(call)
    inner = ", ".join(call.names.dim(dim) for dim in bias.dims[1:])
    return f"{call.text(0)} + {bias.text}.unflatten(0, (-1, {inner}))"


def gate(operator: Gate, call: Call) -> str:
    activated = {"silu": f"F.silu({call.text(0)})", "gelu": gelu(call)}[operator.activation]
    return f"{activated} * {call.text(1)}"


def gelu(call: Call) -> str:
    return f'F.gelu({call.text(0)}, approximate="tanh")'


def scale(operator: Scale, call: Call) -> str:
    factor = call.constant("EMBEDDING_SCALE", operator.factor, "scale")
    return f"{call.text(0)} * {factor}"


def softcap(operator: Softcap, call: Call) -> str:
    cap = call.constant("LOGIT_SOFTCAP", operator.cap, "softcap")
    return f"softcap({call.text(0)}, {cap})"
