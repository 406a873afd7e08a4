"""One file per operator (or a few that belong together): the definition that graph, planner,
lowering and cost read, so they can't drift apart.

An operator is a frozen dataclass. Its class statement states what it costs, and no fact has a
default (`rule.py` lists them); its methods give the dimensions of the outputs, the placements that
it needs and makes, and what a product contracts. To add one: a class here and in the union below,
its meaning in `backends/interpreter`, its line in `backends/pytorch/operators`, and a clause in
`backends/reference` where it is part of a component. Nothing else may name an operator.
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
from compiler.operators.elementwise import Add, AddBias, Gate, Gelu, Scale, Softcap
from compiler.operators.embedding import Embedding
from compiler.operators.linear import Linear
from compiler.operators.norm import LayerNorm, RmsNorm
from compiler.operators.rope import Rope
from compiler.operators.rule import Definition, Rule

Operator = (
    Embedding
    | RmsNorm
    | LayerNorm
    | Linear
    | Rope
    | Attention
    | Gate
    | Gelu
    | Add
    | AddBias
    | Scale
    | Softcap
    | CrossEntropy
    | Maximum
    | SubtractMaximum
    | SumExp
    | Pick
    | NegativeLogLikelihood
)


def as_operator(definition: Definition) -> Operator:
    """A definition, as one of the operators that interpreter and printers know."""
    if not isinstance(definition, Operator):
        raise TypeError(f"{definition.name} is not listed in `Operator`")
    return definition


__all__ = [
    "Add",
    "AddBias",
    "Attention",
    "CrossEntropy",
    "Embedding",
    "Gate",
    "Gelu",
    "LayerNorm",
    "Linear",
    "Maximum",
    "NegativeLogLikelihood",
    "Operator",
    "Pick",
    "RmsNorm",
    "Rope",
    "Rule",
    "Scale",
    "Softcap",
    "SubtractMaximum",
    "SumExp",
    "as_operator",
]
