"""Training runs that are too short, too long, or not determined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction
from dsl.diagnostics import Label, Problem, Severity
from dsl.source import Span
from dsl.suggest import closest


@dataclass(frozen=True, kw_only=True)
class DoesNotFit(Problem):
    """What one rank holds at its peak is more than its device has. The sum is exact for what the
    program itself holds (parameters, gradients, optimizer state, gathered weights, saved
    activations, buffers of the pipeline); libraries and the allocator need more on top.

    The help lists changes of the plan that fit. `llamac plan` shows the parts of every stage, and
    `llamac explain FILE memory` how each is computed.
    """

    slug = "does-not-fit"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "a rank needs {needed:.1f} GiB, and {device} has {has:.1f} GiB"
    label: ClassVar[str] = "{place}{parts}"

    needed: float
    device: str
    has: float
    place: str
    parts: str
    device_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.device_span is None:
            return ()
        return (Label(self.device_span, f"{self.device}: {self.has:.1f} GiB"),)


@dataclass(frozen=True, kw_only=True)
class Undetermined(Problem):
    """A value that the run needs is neither written nor derivable from what is.

    A training run needs its length (`steps` or `tokens`, not both), `seq_len` and `global_batch`.
    """

    slug = "undetermined"
    title: ClassVar[str] = "`{block}` does not say {what}"
    label: ClassVar[str] = "{missing}"

    block: str
    what: str
    missing: str


@dataclass(frozen=True, kw_only=True)
class ScheduleTooLong(Problem):
    """Warm-up and decay together take more steps than the run has."""

    slug = "schedule-too-long"
    title: ClassVar[str] = "the learning-rate schedule is longer than the run"
    label: ClassVar[str] = "{arithmetic}, and the run has {steps:,} steps"

    arithmetic: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class NoTimeToTrain(Problem):
    """A job is asked to save its checkpoint and leave `checkpoint_budget` before its limit of time,
    and Slurm may be a minute early with that. What is left of `time` is all there is to train.
    """

    slug = "no-time-to-train"
    title: ClassVar[str] = "a job would have to save before it has trained"
    label: ClassVar[str] = (
        "{time:,.0f} s - checkpoint_budget {budget:,.0f} s - {early} s = {left:,.0f} s"
    )

    time: float
    budget: float
    early: int

    @property
    def left(self) -> float:
        return self.time - self.budget - self.early


@dataclass(frozen=True, kw_only=True)
class UnknownPhase(Problem):
    """`phase NAME { ... }` of a plan says how it spreads a phase of its training run, so the
    `train` block must have a phase of that name.
    """

    slug = "unknown-phase"
    title: ClassVar[str] = "the run has no phase `{phase}`"
    label: ClassVar[str] = "refines a phase that does not exist"

    phase: str
    known: tuple[str, ...]
    train_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.train_span is None or not self.known:
            return ()
        return (Label(self.train_span, f"phases: {', '.join(self.known)}"),)

    def helps(self) -> tuple[str, ...]:
        if not self.known:
            return (f"`phase {self.phase}` belongs in the `train` block first",)
        return (f"did you mean `{closest(self.phase, self.known) or self.known[0]}`?",)


@dataclass(frozen=True, kw_only=True)
class LengthGivenTwice(Contradiction):
    """`steps` and `tokens` both give the length of the run, and one follows from the other: tokens
    = steps x global_batch x seq_len. Write the one that is meant.
    """

    slug = "length-given-twice"
    title: ClassVar[str] = "the run length is given twice"
    label: ClassVar[str] = "`tokens` and `steps` both say when it ends"
    other: ClassVar[str] = "{steps:,} steps"

    steps: int
