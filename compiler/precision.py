"""How precisely a value is held, and the bytes that an element of it then takes.

A precision is a role, not a dtype: `compute` is bf16 or fp32, as `train.precision` says. Operators
say the precision of what they make (`Definition.precisions`); memory, traffic, dumps and the
dry run read it from the value.
"""

from __future__ import annotations

from typing import Literal, assert_never

Precision = Literal["compute", "accumulate", "index", "fp8"]
"""
compute      activations and gathered weights
accumulate   sums that must not lose small terms: softmax of the loss, reduced gradients
index        tokens, positions, counts
fp8          8-bit floats with a scale beside them
"""
Training = Literal["fp32", "bf16"]
"""Values of `train.precision`."""

MASTER = 4
"""Bytes of an fp32 parameter, a gradient or a moment of the optimizer."""


def bytes_of(precision: Precision, training: Training) -> int:
    """Bytes of one element."""
    match precision:
        case "compute":
            return 2 if training == "bf16" else 4
        case "accumulate":
            return 4
        case "index":
            return 8
        case "fp8":
            return 1
        case _:
            assert_never(precision)
