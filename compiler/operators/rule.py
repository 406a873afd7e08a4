"""What every operator says of itself, with the answers that most share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.placement import Placement, R, Shard

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """Placements on one atom: `inputs` are needed (redistribute what differs), `outputs` made."""

    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]


@dataclass(frozen=True)
class Definition:
    """Base of the operators. As it stands: element by element, like its first input.

    name              as dumps and `recompute` lists call it
    keeps_inputs      which inputs the backward reads
    keeps_output      whether it reads the output
    flops_an_element  of the forward, for each element of the first input
    """

    name: ClassVar[str]
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False
    flops_an_element: ClassVar[float] = 0.0

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        """Dimensions of the output."""
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """The first input's cut wins; the others are brought to it."""
        first = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((first,) * len(placements), (first,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        """FLOPs of the forward."""
        return self.flops_an_element * math.prod(sizes[dim] for dim in dims[0])
