"""Operators that work element by element: add(a, b), swiglu_gate(gate, up) = silu(gate) * up"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Dims, Rule, elementwise
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class Add:
    name: ClassVar[str] = "add"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """The residual stream's placement wins; the branch is brought to it."""
        first = placements[0]
        return elementwise(2, first if isinstance(first, Shard) else R)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class SwigluGate:
    name: ClassVar[str] = "swiglu_gate"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        first = placements[0]
        return elementwise(2, first if isinstance(first, Shard) else R)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 5.0 * math.prod(sizes[dim] for dim in dims[0])
