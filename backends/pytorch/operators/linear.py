"""linear(x, weight): weights are matrices, so heads are flattened before and unflattened after."""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from compiler.operators import Linear

SAVED = ("torch.ops.aten.mm.default",)


def linear(operator: Linear, call: Call) -> str:
    """F.linear contracts the last dimension of both."""
    x, weight = call.arguments
    contracted = operator.contracts((x.dims, weight.dims))
    made = [dim for dim in weight.dims if dim not in contracted]
    source = x.text if len(contracted) == 1 else f"{x.text}.flatten(-{len(contracted)})"
    product = f"F.linear({source}, {weight.text})"
    if len(made) == 1:
        return product
    inner = ", ".join(call.names.dim(dim) for dim in made[1:])
    return f"{product}.unflatten(-1, (-1, {inner}))"
