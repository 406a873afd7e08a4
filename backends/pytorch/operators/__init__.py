"""One printer per operator: `Call -> str`, the Python expression of its line.

`expression` is the table. A printer says which helper functions of `model.py` and which constants
of `config.py` it uses, by name only: no size reaches the text. To add one: a function in a file
named after the operator in `compiler/operators`, its case here, its helper in `helpers.py.j2`.
`prepare` is for what its lines read that is made once per forward, `SAVED_BY_NAME` for outputs that
a selective checkpoint can save because torch knows them by a name of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from backends.pytorch.operators.attention import SAVED as ATTENTION_SAVED
from backends.pytorch.operators.attention import attention, prepare_mask
from backends.pytorch.operators.call import Call
from backends.pytorch.operators.cross_entropy import (
    cross_entropy,
    maximum,
    negative_log_likelihood,
    pick,
    subtract_maximum,
    sum_exp,
)
from backends.pytorch.operators.elementwise import add, add_bias, gate, gelu, scale, softcap
from backends.pytorch.operators.embedding import embedding
from backends.pytorch.operators.linear import SAVED as LINEAR_SAVED
from backends.pytorch.operators.linear import linear
from backends.pytorch.operators.norm import layer_norm, rms_norm
from backends.pytorch.operators.prepared import Prepared
from backends.pytorch.operators.rope import prepare_angles, rope
from compiler.operators import (
    Add,
    AddBias,
    Attention,
    CrossEntropy,
    Embedding,
    Gate,
    Gelu,
    LayerNorm,
    Linear,
    Maximum,
    NegativeLogLikelihood,
    Operator,
    Pick,
    RmsNorm,
    Rope,
    Scale,
    Softcap,
    SubtractMaximum,
    SumExp,
)

SAVED_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "linear": LINEAR_SAVED,
    "attention": ATTENTION_SAVED,
}
"""Operators to torch's names of what computes their outputs, by which a selective checkpoint saves
them. The outputs of all others are marked with `save(...)` where they are to be saved."""


def prepare(operator: Operator, call: Call, cuts_sequence: bool) -> Prepared | None:
    """What the operator's line reads beside its inputs, made once per forward."""
    match operator:
        case Rope():
            return prepare_angles(operator, call, cuts_sequence)
        case Attention():
            return prepare_mask(operator, call, cuts_sequence)
        case _:
            return None


def expression(operator: Operator, call: Call) -> str:
    """The right-hand side of the operator's line."""
    match operator:
        case Embedding():
            return embedding(call)
        case RmsNorm():
            return rms_norm(operator, call)
        case LayerNorm():
            return layer_norm(operator, call)
        case Linear():
            return linear(operator, call)
        case Rope():
            return rope(operator, call)
        case Attention():
            return attention(operator, call)
        case Gate():
            return gate(operator, call)
        case Gelu():
            return gelu(call)
        case AddBias():
            return add_bias(call)
        case Scale():
            return scale(operator, call)
        case Softcap():
            return softcap(operator, call)
        case Add():
            return add(call)
        case CrossEntropy():
            return cross_entropy(call)
        case Maximum():
            return maximum(call)
        case SubtractMaximum():
            return subtract_maximum(call)
        case SumExp():
            return sum_exp(call)
        case Pick():
            return pick(call)
        case NegativeLogLikelihood():
            return negative_log_likelihood(call)
        case _:
            assert_never(operator)


__all__ = ["SAVED_BY_NAME", "Call", "Prepared", "expression", "prepare"]
