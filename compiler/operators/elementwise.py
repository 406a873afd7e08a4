"""Operators that work element by element.

add(a, b), add_bias(x, bias), gate(gate, up) = f(gate) * up, gelu(x), scale(x), softcap(x)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from compiler.operators.rule import Definition, Dims, Rule
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class Add(Definition):
    """The residual stream comes first: the branch is brought to where it lies."""

    name = "add"
    flops_an_element = 1.0


@dataclass(frozen=True)
class AddBias(Definition):
    """x [..., d...] + bias [d...]"""

    name = "add_bias"
    flops_an_element = 1.0

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A bias is cut with the dimension it adds to; a pending sum must be complete first."""
        x = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((x, x if isinstance(x, Shard) and x.dim in dims[1] else R), (x,))


@dataclass(frozen=True)
class Gate(Definition):
    """f(gate) * up: swiglu's silu, geglu's tanh form of gelu."""

    activation: Literal["silu", "gelu"]

    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1)
    flops_an_element = 5.0

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  one class, two
        return {"silu": "swiglu", "gelu": "geglu"}[self.activation]


@dataclass(frozen=True)
class Gelu(Definition):
    """The tanh form: x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""

    name = "gelu"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    flops_an_element = 8.0


@dataclass(frozen=True)
class Scale(Definition):
    """x * factor"""

    factor: float

    name = "scale"
    flops_an_element = 1.0

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Linear, so a pending sum stays pending: it is scaled before it is complete."""
        return Rule(placements, placements)


@dataclass(frozen=True)
class Softcap(Definition):
    """cap * tanh(x / cap)"""

    cap: float

    name = "softcap"
    keeps_output = True
    flops_an_element = 4.0
