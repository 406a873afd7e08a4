"""rope(x, positions): the angles are computed once per forward."""

from __future__ import annotations

from typing import Literal

from backends.pytorch.names import Names
from backends.pytorch.operators.call import Call
from backends.pytorch.operators.prepared import Prepared
from compiler.operators import Rope

PATH = "model.layer.attention.rope"


def rope(operator: Rope, call: Call) -> str:
    return f"{function(operator.pairs)}({call.text(0)}, cos, sin)"


def function(pairs: Literal["half", "interleaved"]) -> str:
    return "rotate_halves" if pairs == "half" else "rotate_pairs"


def prepare_angles(operator: Rope, names: Names, width: str, cuts_sequence: bool) -> Prepared:
    """cos and sin for heads of which the dimension `width` turns."""
    theta = names.set("ROPE_THETA", operator.theta, f"{PATH}.theta")
    radians = f"frequencies({names.dim(width)}, {theta}, positions.device)"
    if (numbers := operator.scaling) is not None:
        values = (numbers.factor, numbers.low, numbers.high, numbers.original)
        note = "factor, low, high, original"
        scaling = names.set("ROPE_SCALING", values, f"{PATH}.scaling", note)
        radians = f"stretched({radians}, {scaling})"
    whole = "torch.arange(documents.shape[1], device=x.device)"
    own = "own_positions(key_documents.shape[1], x.device)"
    return Prepared(
        ("cos", "sin"),
        "Tensor",
        "rotations",
        f"angles(positions, {radians})",
        f"positions = {own if cuts_sequence else whole}",
    )
