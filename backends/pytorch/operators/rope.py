"""rope(x, positions): the angles are computed once a forward."""

from __future__ import annotations

from typing import Literal

from backends.pytorch.names import Names
from backends.pytorch.operators.call import Call
from compiler.operators import Rope


def rope(operator: Rope, call: Call) -> str:
    return f"{function(operator.pairs)}({call.text(0)}, cos, sin)"


def function(pairs: Literal["half", "interleaved"]) -> str:
    return "rotate_halves" if pairs == "half" else "rotate_pairs"


def angles(operator: Rope, names: Names, head_dim: int) -> str:
    """The expression of (cos, sin) for one kind of layer, in the model's forward."""
    dim = names.own("HEAD_DIM", head_dim)
    theta = names.own("ROPE_THETA", operator.theta)
    radians = f"frequencies({dim}, {theta}, positions.device)"
    if (numbers := operator.scaling) is not None:
        values = (numbers.factor, numbers.low, numbers.high, numbers.original)
        radians = f"stretched({radians}, {names.own('ROPE_SCALING', values)})"
    return f"angles(positions, {radians})"
