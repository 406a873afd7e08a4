"""rms_norm(x [..., d], weight [d]) -> [..., d]: x / sqrt(mean(x^2) + eps) * weight"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Dims, Rule
from compiler.placement import Placement, R, Shard


@dataclass(frozen=True)
class RmsNorm:
    eps: float

    name: ClassVar[str] = "rms_norm"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Rows are independent: any cut but the normalised dimension's passes through."""
        x = placements[0]
        normalised = dims[0][-1]
        x = x if isinstance(x, Shard) and x.dim != normalised else R
        return Rule((x, R), (x,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 4.0 * math.prod(sizes[dim] for dim in dims[0])
