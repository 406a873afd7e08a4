"""Operators that work element by element.

add(a, b), add_bias(x, bias), gate(gate, up) = f(gate) * up, gelu(x), scale(x), softcap(x)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from compiler.operators.rule import Dims, Rule
from compiler.placement import Placement, R, Shard


def _alike(placements: tuple[Placement, ...]) -> Rule:
    """The first input's cut wins; the others are brought to it."""
    first = placements[0] if isinstance(placements[0], Shard) else R
    return Rule((first,) * len(placements), (first,))


@dataclass(frozen=True)
class Add:
    name: ClassVar[str] = "add"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """The residual stream's placement wins; the branch is brought to it."""
        return _alike(placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class AddBias:
    """x [..., d...] + bias [d...]"""

    name: ClassVar[str] = "add_bias"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """A bias is cut with the dimension it adds to; a pending sum must be complete first."""
        x = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((x, x if isinstance(x, Shard) and x.dim in dims[1] else R), (x,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class Gate:
    """f(gate) * up: swiglu's silu, geglu's tanh form of gelu."""

    activation: Literal["silu", "gelu"]

    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1)
    keeps_output: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return {"silu": "swiglu", "gelu": "geglu"}[self.activation]

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _alike(placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 5.0 * math.prod(sizes[dim] for dim in dims[0])


@dataclass(frozen=True)
class Gelu:
    """The tanh form: x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))"""

    name: ClassVar[str] = "gelu"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _alike(placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 8.0 * math.prod(sizes[dim] for dim in dims[0])


@dataclass(frozen=True)
class Scale:
    """x * factor"""

    factor: float

    name: ClassVar[str] = "scale"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Linear, so a pending sum stays pending: it is scaled before it is complete."""
        return Rule(placements, placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class Softcap:
    """cap * tanh(x / cap)"""

    cap: float

    name: ClassVar[str] = "softcap"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = True

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _alike(placements)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 4.0 * math.prod(sizes[dim] for dim in dims[0])
