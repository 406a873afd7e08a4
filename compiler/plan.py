"""Plan: how a run is parallelised, decided. `auto` cannot exist here.

A run is a list of phases; each phase has its own mesh, batch and cuts. Every derived value stands
in a `Decision` with its reason, so `plan`, `explain` and comments in generated code print the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from compiler.mesh import Mesh
from compiler.schedules import ScheduleKind
from compiler.schema import PlanSpec

Origin = Literal["written", "default", "inherited", "derived", "chosen"]
Recompute = Literal["none", "full"] | tuple[str, ...]
"""How the layers of one pipeline rank find in the backward what they made. A tuple names operators
whose outputs are computed again."""
Value = int | float | str | bool | None | tuple[int, ...]


def recompute_text(policy: Recompute) -> str:
    """As it is written."""
    return f"[{', '.join(policy)}]" if isinstance(policy, tuple) else policy


@dataclass(frozen=True)
class Decision:
    """One resolved value by path, where it came from, why, and what stood second."""

    path: str
    value: Value
    origin: Origin
    reason: str
    runner_up: str = ""

    @property
    def text(self) -> str:
        """The value for people: `16,384`, or `0, 1 x 126, 0` for a tuple."""
        if isinstance(self.value, tuple):
            runs = [(value, len(list(run))) for value, run in groupby(self.value)]
            return ", ".join(f"{value} x {n}" if n > 1 else f"{value}" for value, n in runs)
        return f"{self.value:,}" if type(self.value) is int else str(self.value)


@dataclass(frozen=True)
class Before:
    """What of the run lies before a phase. `sequences` are of that phase's own length, rounded up:
    where it goes on in the data (at most one sequence, less a token, is left out for it)."""

    steps: int = 0
    sequences: int = 0


@dataclass(frozen=True)
class StateGroup:
    """Parameters whose state (weights, gradients, optimizer) the same ranks share.

    dims   a parameter that has one of these dimensions is in the group; () takes every other one
    data   atoms over which its gradient is summed: ranks on them read different tokens
    copy   those of `data` whose ranks share one copy of the state; the others replicate it
    """

    dims: tuple[str, ...]
    data: tuple[str, ...]
    copy: tuple[str, ...]

    def has(self, dims: tuple[str, ...]) -> bool:
        return not self.dims or not set(self.dims).isdisjoint(dims)


@dataclass(frozen=True)
class PhasePlan:
    """One phase: steps over batches of one shape, on one mesh. `spec` is the plan's as it stands
    for this phase alone.

    global_batch and microbatch are in sequences; microbatches are a rank's forwards of one step.
    `cuts` says over which atoms a named dimension is cut, outermost first: weights by heads,
    kv_heads, d_ff, vocab; the residual stream by seq; activations by batch. `stages` are the
    layers of each virtual stage, one entry where there is no pipeline; `recompute` has one entry
    per pipeline rank; a parameter is in the first of `groups` that has its dimensions.
    """

    name: str
    spec: PlanSpec
    before: Before
    mesh: Mesh
    steps: int
    seq_len: int
    global_batch: int
    microbatch: int
    microbatches: int
    loss_chunks: int
    sharding: Literal["none", "zero1", "zero2", "zero3"]
    recompute: tuple[Recompute, ...]
    schedule: ScheduleKind
    stages: tuple[int, ...]
    cuts: tuple[tuple[str, tuple[str, ...]], ...]
    groups: tuple[StateGroup, ...]
    decisions: tuple[Decision, ...]

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch * self.seq_len

    @property
    def mapping(self) -> tuple[object, ...]:
        """All that the text of a program depends on and phases may change. Consecutive phases in
        which it is equal are one program: sizes of sequences and batches are numbers in it."""
        cuts = (self.cuts, self.groups, self.sharding, self.recompute)
        return (self.mesh, *cuts, self.schedule, self.stages)

    @property
    def first_token(self) -> int:
        """Tokens of the run before the phase: where it goes on in the data."""
        return self.before.sequences * self.seq_len

    @property
    def end_token(self) -> int:
        """Tokens of the run when the phase is done."""
        return self.first_token + self.steps * self.tokens_per_step

    @property
    def loss_chunk(self) -> int:
        """Positions of a rank whose logits live at once."""
        return self.seq_len // self.mesh.axis_size("cp") // self.loss_chunks

    @property
    def last_step(self) -> int:
        """Steps of the run that are done when the phase ends."""
        return self.before.steps + self.steps

    @property
    def policies(self) -> tuple[Recompute, ...]:
        """The different ways to recompute, by the first rank that has each."""
        return tuple(dict.fromkeys(self.recompute))

    def cut(self, dim: str) -> tuple[str, ...]:
        """Atoms that cut a dimension, outermost first; none where it is whole."""
        return dict(self.cuts).get(dim, ())

    def group(self, dims: tuple[str, ...]) -> StateGroup:
        """The group of a parameter with these dimensions."""
        return next(group for group in self.groups if group.has(dims))

    def decision(self, path: str) -> Decision:
        return next(decision for decision in self.decisions if decision.path == path)


@dataclass(frozen=True)
class Plan:
    """A named plan of a spec, resolved; `phases` may be a part of the run (see `parts`).

    run_steps   of the whole run, over which the learning rate is laid out
    data_block  tokens that the shuffled order of the data keeps together: the least that every
                phase of the run cuts into whole sequences
    """

    name: str
    spec: PlanSpec
    phases: tuple[PhasePlan, ...]
    run_steps: int
    data_block: int

    @property
    def parts(self) -> tuple[Plan, ...]:
        """A plan a program, in the order they run: phases in a row with one mapping."""
        runs = groupby(self.phases, key=lambda phase: phase.mapping)
        return tuple(replace(self, phases=tuple(phases)) for _, phases in runs)

    @property
    def part_name(self) -> str:
        """What a program of these phases is called: `start`, or `start-main` from first to last."""
        first, last = self.phases[0].name, self.phases[-1].name
        return first if first == last else f"{first}-{last}"

    @property
    def main(self) -> PhasePlan:
        """The phase with most tokens: what a one-line summary shows."""
        return max(self.phases, key=lambda phase: phase.steps * phase.tokens_per_step)
