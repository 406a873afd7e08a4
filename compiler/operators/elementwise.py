"""Operators that work element by element.

add(a, b), add_bias(x, bias), gate(gate, up) = f(gate) * up, gelu(x), scale(x), softcap(x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class Add(
    Definition,
    name="add",
    work=PerElement(1.0),
    outputs=("as input",),
    saves=Saves(),
):
    """The residual stream comes first: the branch is brought to where it lies."""


@dataclass(frozen=True)
class AddBias(
    Definition,
    name="add_bias",
    work=PerElement(1.0),
    outputs=("as input",),
    saves=Saves(),
):
    """x [..., d...] + bias [d...]"""

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A bias is cut with the dimension it adds to; a pending sum must be complete first."""
        x = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((x, x if isinstance(x, Shard) and x.dim in dims[1] else R), (x,))


@dataclass(frozen=True)
class Gate(
    Definition,
    name="gate",
    work=PerElement(5.0),
    outputs=("as input",),
    saves=Saves(inputs=(0, 1)),
):
    """f(gate) * up: swiglu's silu, geglu's tanh form of gelu."""

    activation: Literal["silu", "gelu"]

    @property
    def name(self) -> str:
        return {"silu": "swiglu", "gelu": "geglu"}[self.activation]


@dataclass(frozen=True)
class Gelu(
    Definition,
    name="gelu",
    work=PerElement(8.0),
    outputs=("as input",),
    saves=Saves(inputs=(0,)),
):
    """The tanh form: x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""


@dataclass(frozen=True)
class Scale(
    Definition,
    name="scale",
    work=PerElement(1.0),
    outputs=("as input",),
    saves=Saves(),
):
    """x * factor"""

    factor: float

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Linear, so a pending sum stays pending: it is scaled before it is complete."""
        return Rule(placements, placements)


@dataclass(frozen=True)
class Softcap(
    Definition,
    name="softcap",
    work=PerElement(4.0),
    outputs=("accumulate",),
    saves=Saves(outputs=(0,)),
):
    """cap * tanh(x / cap), from here on in the accumulation dtype"""

    cap: float
