"""cross_entropy(logits [batch, seq, vocab], targets [batch, seq]) -> scalar: a sum over the tokens

Where the vocabulary is cut, the lowering replaces it by its `expand`ed form, whose reductions over
the vocabulary are pending maxima and sums that collectives then complete:
    m = maximum(logits)    s = logits - m    z = sum_exp(s)    t = pick(s, targets)
    loss = sum over valid tokens of log(z) - t
A target below 0 is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.operators.rule import Definition, Dims, Rule
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
class CrossEntropy(Definition):
    name = "cross_entropy"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 1)
    flops_an_element = 5.0

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return ()

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Whole vocabulary only: the lowering expands the operator where it is cut."""
        return _total(placements, values=1)


@dataclass(frozen=True)
class Maximum(Definition):
    """Over the last dimension; carries no gradient."""

    name = "maximum"
    flops_an_element = 1.0

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial("max"))


@dataclass(frozen=True)
class SubtractMaximum(Definition):
    """x [..., vocab] - maximum [...]"""

    name = "subtract_maximum"
    flops_an_element = 1.0

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        x = placements[0] if isinstance(placements[0], Shard) else R
        follows = isinstance(x, Shard) and x.dim in dims[1]
        return Rule((x, x if follows else R), (x,))


@dataclass(frozen=True)
class SumExp(Definition):
    """Sum of exponentials over the last dimension."""

    name = "sum_exp"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0,)
    flops_an_element = 2.0

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())


@dataclass(frozen=True)
class Pick(Definition):
    """The element at the target; zero where this rank's part of the dimension lacks it."""

    name = "pick"
    keeps_inputs: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return inputs[0][:-1]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())


@dataclass(frozen=True)
class NegativeLogLikelihood(Definition):
    """(z, t, targets) -> sum over valid tokens of log(z) - t"""

    name = "negative_log_likelihood"
    keeps_inputs: ClassVar[tuple[int, ...]] = (0, 2)
    flops_an_element = 2.0

    def infer(self, inputs: tuple[Dims, ...]) -> Dims:
        return ()

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Invariant sums in, an invariant total out: every rank has the same loss."""
        return _total(placements, values=2)
