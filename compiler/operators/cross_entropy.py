"""cross_entropy(logits [batch, seq, vocab], targets [batch, seq]) -> scalar: a sum over the tokens

Where the vocabulary is cut, the lowering replaces it by its `expand`ed form, whose reductions over
the vocabulary are pending maxima and sums that collectives then complete:
    m = maximum(logits)    s = logits - m    z = sum_exp(s)    t = pick(s, targets)
    loss = sum over valid tokens of log(z) - t
A target below 0 is not counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Dims, Rule
from compiler.placement import I, Partial, Placement, R, Shard


def _reduction_rule(
    dims: tuple[Dims, ...], placements: tuple[Placement, ...], pending: Partial
) -> Rule:
    """A reduction over the last dimension of the first input; other inputs follow its batch."""
    x, *rest = placements
    match x:
        case Shard(dim=dim) if dim == dims[0][-1]:
            return Rule((x, *(R for _ in rest)), (pending,))
        case Shard():
            return Rule((x, *(x for _ in rest)), (x,))
        case _:
            return Rule((R, *(R for _ in rest)), (R,))


def _total(placements: tuple[Placement, ...], values: int) -> Rule:
    """A sum over tokens of the first `values` inputs, beside targets, which carry no gradient.

    Cut tokens make a pending sum. Otherwise every rank computes the same total, so the values must
    be invariant: a replicated value's gradient would count once a rank.
    """
    first, rest = placements[0], len(placements) - values
    if isinstance(first, Shard):
        return Rule((first,) * len(placements), (Partial(),))
    return Rule((I,) * values + (R,) * rest, (I,))


@dataclass(frozen=True)
class CrossEntropy:
    name: ClassVar[str] = "cross_entropy"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return ()

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Whole vocabulary only: the lowering expands the operator where it is cut."""
        return _total(placements, values=1)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 5.0 * math.prod(sizes[dim] for dim in dims[0])


@dataclass(frozen=True)
class Maximum:
    """Over the last dimension; carries no gradient."""

    name: ClassVar[str] = "maximum"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial("max"))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class SubtractMaximum:
    """x [..., vocab] - maximum [...]"""

    name: ClassVar[str] = "subtract_maximum"
    keeps_inputs: ClassVar[tuple[int, ...]] = ()
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        x = placements[0] if isinstance(placements[0], Shard) else R
        follows = isinstance(x, Shard) and x.dim in dims[1]
        return Rule((x, x if follows else R), (x,))

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return float(math.prod(sizes[dim] for dim in dims[0]))


@dataclass(frozen=True)
class SumExp:
    """Sum of exponentials over the last dimension."""

    name: ClassVar[str] = "sum_exp"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 2.0 * math.prod(sizes[dim] for dim in dims[0])


@dataclass(frozen=True)
class Pick:
    """The element at the target; zero where this rank's part of the dimension lacks it."""

    name: ClassVar[str] = "pick"
    keeps_inputs: ClassVar[tuple[int, ...]] = (1,)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 0.0


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """(z, t, targets) -> sum over valid tokens of log(z) - t"""

    name: ClassVar[str] = "negative_log_likelihood"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 2)
    keeps_output: ClassVar[bool] = False

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return ()

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Invariant sums in, an invariant total out: every rank has the same loss."""
        return _total(placements, values=2)

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        return 2.0 * math.prod(sizes[dim] for dim in dims[0])
