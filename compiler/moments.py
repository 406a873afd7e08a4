"""The step of one pipeline rank, action by action: what is live, unreduced and whole at each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.plan import PhasePlan
from compiler.schedules import Action, actions, whole_stages


def order(phase: PhasePlan, rank: int) -> tuple[Action, ...]:
    """What a pipeline rank does in a step; without a pipeline, forward and backward in turns."""
    pp = phase.mesh.axis_size("pp")
    if pp > 1:
        return actions(phase.schedule, pp, len(phase.stages) // pp, phase.microbatches)[rank]
    return tuple(Action(0, kind, m) for m in range(phase.microbatches) for kind in ("F", "B"))


@dataclass(frozen=True)
class Moment:
    """One action of a rank: microbatches whose activations live, by virtual stage; stages whose
    gradients are not reduced yet; stages whose parameters are whole."""

    live: dict[int, int]
    unreduced: frozenset[int]
    whole: frozenset[int]


def moments(phase: PhasePlan, rank: int) -> Iterator[Moment]:
    """The step of a rank, action by action."""
    steps = order(phase, rank)
    live = dict.fromkeys(range(rank, len(phase.stages), phase.mesh.axis_size("pp")), 0)
    every = frozenset(live)
    whole = whole_stages(steps) if phase.schedule == "interleaved" else [every] * len(steps)
    unreduced: frozenset[int] = frozenset()
    for action, gathered in zip(steps, whole, strict=True):
        if action.kind == "F":
            live[action.stage] += 1
        else:
            unreduced |= {action.stage}
        yield Moment(dict(live), unreduced, gathered)
        if action.kind == "B":
            live[action.stage] -= 1
            if action.microbatch == phase.microbatches - 1:
                unreduced -= {action.stage}


def in_flight(phase: PhasePlan, rank: int) -> dict[int, int]:
    """For each virtual stage of a rank, the most microbatches whose backward is still to come,
    counted where their sum over the rank's stages is largest."""
    every = (moment.live for moment in moments(phase, rank))
    return max(every, key=lambda live: sum(live.values()))
