"""Plan: how a run is spread, decided. `auto` cannot exist here.

A run is a list of phases; each phase has its own mesh, batch and cuts. Every derived value stands
in a `Decision` with its reason, so `plan`, `explain` and comments in generated code print the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Before:
    """What of the run lies before a phase. `sequences` are of that phase's own length, rounded up:
    where it goes on in the data."""

    steps: int = 0
    sequences: int = 0


@dataclass(frozen=True)
class PhasePlan:
    """One phase: steps over batches of one shape, on one mesh. `spec` is the plan's as it stands
    for this phase alone.

    global_batch and microbatch are in sequences; microbatches are a rank's forwards of one step.
    `cuts` says over which atoms a named dimension is cut, outermost first: weights by heads,
    kv_heads, d_ff, vocab; the residual stream by seq; activations by batch. `stages` are the
    layers of each virtual stage, one entry where there is no pipeline; `recompute` has one entry
    a pipeline rank.
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
    decisions: tuple[Decision, ...]

    @property
    def tokens_per_step(self) -> int:
        return self.global_batch * self.seq_len

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

    def decision(self, path: str) -> Decision:
        return next(decision for decision in self.decisions if decision.path == path)


@dataclass(frozen=True)
class Plan:
    """A named plan of a spec, resolved. `run_steps` are those of the whole run, over which the
    learning rate is laid out; `phases` may be a part of it (see `pipeline.programs`)."""

    name: str
    spec: PlanSpec
    phases: tuple[PhasePlan, ...]
    run_steps: int

    @property
    def parts(self) -> tuple[Plan, ...]:
        """A plan a program: one phase each."""
        return tuple(replace(self, phases=(phase,)) for phase in self.phases)

    @property
    def main(self) -> PhasePlan:
        """The phase with most tokens: what a one-line summary shows."""
        return max(self.phases, key=lambda phase: phase.steps * phase.tokens_per_step)
