"""cross_entropy(logits [batch, seq, vocab], targets [batch, seq]) -> scalar: a sum over the tokens

Where the vocabulary is cut, the lowering replaces it by its `expand`ed form, whose reductions over
the vocabulary are pending maxima and sums that collectives then complete:
    m = maximum(logits)    s = logits - m    z = sum_exp(s)    t = pick(s, targets)
    loss = sum over valid tokens of log(z) - t
A target below 0 is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from compiler.operators.rule import Application, Definition, Dims, PerElement, Rule, Saves
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
    be invariant: a replicated value's gradient would be counted once per rank.
    """
    first, rest = placements[0], len(placements) - values
    if isinstance(first, Shard):
        return Rule((first,) * len(placements), (Partial(),))
    return Rule((I,) * values + (R,) * rest, (I,))


@dataclass(frozen=True)
class CrossEntropy(
    Definition,
    name="cross_entropy",
    work=PerElement(5.0),
    outputs=("accumulate",),
    saves=Saves(inputs=(0, 1)),
):
    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return ((),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Whole vocabulary only: where it is cut, the operator is expanded."""
        return _total(placements, values=1)

    def expand(
        self,
        outputs: tuple[str, ...],
        inputs: tuple[str, ...],
        dims: tuple[Dims, ...],
        cut: Dims,
    ) -> tuple[Application, ...]:
        """Its reductions over the vocabulary, of which each rank makes a part."""
        if dims[0][-1] not in cut:
            return ()
        logits, targets = inputs
        return (
            Application(("largest",), Maximum(), (logits,)),
            Application(("shifted",), SubtractMaximum(), (logits, "largest")),
            Application(("total",), SumExp(), ("shifted",)),
            Application(("picked",), Pick(), ("shifted", targets)),
            Application(outputs, NegativeLogLikelihood(), ("total", "picked", targets)),
        )


@dataclass(frozen=True)
class Maximum(
    Definition,
    name="maximum",
    work=PerElement(1.0),
    outputs=("as input",),
    saves=Saves(),
):
    """Over the last dimension; carries no gradient."""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return (inputs[0][:-1],)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial("max"))


@dataclass(frozen=True)
class SubtractMaximum(
    Definition,
    name="subtract_maximum",
    work=PerElement(1.0),
    outputs=("accumulate",),
    saves=Saves(),
):
    """x [..., vocab] - maximum [...]"""

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        x = placements[0] if isinstance(placements[0], Shard) else R
        follows = isinstance(x, Shard) and x.dim in dims[1]
        return Rule((x, x if follows else R), (x,))


@dataclass(frozen=True)
class SumExp(
    Definition,
    name="sum_exp",
    work=PerElement(2.0),
    outputs=("as input",),
    saves=Saves(inputs=(0,)),
):
    """Sum of exponentials over the last dimension."""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return (inputs[0][:-1],)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())


@dataclass(frozen=True)
class Pick(
    Definition,
    name="pick",
    work=PerElement(0.0),
    outputs=("as input",),
    saves=Saves(inputs=(1,)),
):
    """The element at the target; zero where this rank's part of the dimension lacks it."""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return (inputs[0][:-1],)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        return _reduction_rule(dims, placements, Partial())


@dataclass(frozen=True)
class NegativeLogLikelihood(
    Definition,
    name="negative_log_likelihood",
    work=PerElement(2.0),
    outputs=("accumulate",),
    saves=Saves(inputs=(0, 2)),
):
    """(z, t, targets) -> sum over valid tokens of log(z) - t"""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return ((),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """Invariant sums in, an invariant total out: every rank has the same loss."""
        return _total(placements, values=2)
