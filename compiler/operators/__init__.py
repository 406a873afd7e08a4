"""One file an operator (or a few that belong together): the definition that graph, planner,
lowering and cost read, so they can't drift apart.

An operator is a frozen dataclass that says what its outputs' dimensions are (`infer`), which
placements it needs and makes (`rule`), its FLOPs, and what its backward keeps. To add one: a class
here and in the union below, its meaning in `backends/interpreter`, its line in `backends/pytorch`,
and a clause in `backends/reference` where it is part of a component.
"""

from __future__ import annotations

from compiler.operators.attention import Attention
from compiler.operators.cross_entropy import (
    CrossEntropy,
    Maximum,
    NegativeLogLikelihood,
    Pick,
    SubtractMaximum,
    SumExp,
)
from compiler.operators.elementwise import Add, SwigluGate
from compiler.operators.embedding import Embedding
from compiler.operators.linear import Linear
from compiler.operators.rms_norm import RmsNorm
from compiler.operators.rope import Rope
from compiler.operators.rule import Rule

Operator = (
    Embedding
    | RmsNorm
    | Linear
    | Rope
    | Attention
    | SwigluGate
    | Add
    | CrossEntropy
    | Maximum
    | SubtractMaximum
    | SumExp
    | Pick
    | NegativeLogLikelihood
)

__all__ = [
    "Add",
    "Attention",
    "CrossEntropy",
    "Embedding",
    "Linear",
    "Maximum",
    "NegativeLogLikelihood",
    "Operator",
    "Pick",
    "RmsNorm",
    "Rope",
    "Rule",
    "SubtractMaximum",
    "SumExp",
    "SwigluGate",
]
