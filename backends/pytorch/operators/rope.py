"""rope(x, positions): the angles are computed once per forward."""

from __future__ import annotations

from typing import Literal

from backends.pytorch.operators.call import Call
from backends.pytorch.operators.prepared import Prepared
from compiler.operators import Rope


def rope(operator: Rope, call: Call) -> str:
    return f"{function(operator.pairs)}({call.text(0)}, cos, sin)"


def function(pairs: Literal["half", "interleaved"]) -> str:
    return "rotate_halves" if pairs == "half" else "rotate_pairs"


def prepare_angles(operator: Rope, call: Call, cuts_sequence: bool) -> Prepared:
    """cos and sin for the last dimension of the output, which turns."""
    width = call.names.dim(call.output_dims[0][-1])
    theta = call.constant("ROPE_THETA", operator.theta, "theta")
    radians = f"frequencies({width}, {theta}, positions.device)"
    if (numbers := operator.scaling) is not None:
        values = (numbers.factor, numbers.low, numbers.high, numbers.original)
        note = "factor, low, high, original"
        scaling = call.constant("ROPE_SCALING", values, "scaling", note)
        radians = f"scale_frequencies({radians}, {scaling})"
    whole = "torch.arange(documents.shape[1], device=x.device)"
    own = "own_positions(key_documents.shape[1], x.device)"
    return Prepared(
        ("cos", "sin"),
        "Tensor",
        "rotations",
        f"angles(positions, {radians})",
        f"positions = {own if cuts_sequence else whole}",
    )
