"""Pipeline schedules: for each rank, the order of forwards and backwards of its microbatches.

Pure arithmetic on (kind, ranks, chunks, microbatches). The order is part of the contract with
torch's own schedule objects, and tests compare the two action by action.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, assert_never

ScheduleKind = Literal["gpipe", "one_f_one_b", "interleaved"]


@dataclass(frozen=True)
class Action:
    """`kind` F or B of one microbatch on one virtual stage."""

    stage: int
    kind: Literal["F", "B"]
    microbatch: int

    def __str__(self) -> str:
        return f"{self.stage}{self.kind}{self.microbatch}"


@lru_cache(maxsize=16)  # every rank of a phase asks for the same table
def actions(
    kind: ScheduleKind, ranks: int, chunks: int, microbatches: int
) -> tuple[tuple[Action, ...], ...]:
    """What each rank does, in order. Rank r holds the virtual stages r, r + ranks, ...

    gpipe          all forwards, then all backwards
    one_f_one_b    rank r starts with min(microbatches, ranks - r) forwards, then alternates
    interleaved    rounds of m = microbatches // max(1, microbatches // ranks) microbatches pass
                   all chunks before the next round; warm-up 2 (ranks - 1 - r) + (chunks - 1) m
    """
    match kind:
        case "gpipe":
            rank_actions = _gpipe
        case "one_f_one_b":
            rank_actions = _one_f_one_b
        case "interleaved":
            return tuple(_interleaved(r, ranks, chunks, microbatches) for r in range(ranks))
        case _:
            assert_never(kind)
    return tuple(rank_actions(rank, ranks, microbatches) for rank in range(ranks))


def _gpipe(rank: int, ranks: int, microbatches: int) -> tuple[Action, ...]:
    forward = [Action(rank, "F", m) for m in range(microbatches)]
    return (*forward, *(Action(rank, "B", m) for m in range(microbatches)))


def _one_f_one_b(rank: int, ranks: int, microbatches: int) -> tuple[Action, ...]:
    warmup = min(microbatches, ranks - rank)
    order = [Action(rank, "F", m) for m in range(warmup)]
    for m in range(microbatches):
        order.append(Action(rank, "B", m))
        if m + warmup < microbatches:
            order.append(Action(rank, "F", m + warmup))
    return tuple(order)


def _interleaved(rank: int, ranks: int, chunks: int, microbatches: int) -> tuple[Action, ...]:
    rounds = max(1, microbatches // ranks)
    per_round = microbatches // rounds
    total = chunks * microbatches

    def action(kind: Literal["F", "B"], step: int) -> Action:
        chunk = step // per_round % chunks
        if kind == "B":
            chunk = chunks - 1 - chunk
        microbatch = step // (per_round * chunks) * per_round + step % per_round
        return Action(rank + chunk * ranks, kind, microbatch)

    warmup = min(total, 2 * (ranks - 1 - rank) + (chunks - 1) * per_round)
    order = [action("F", step) for step in range(warmup)]
    for step in range(total):
        if step + warmup < total:
            order.append(action("F", step + warmup))
        order.append(action("B", step))
    return tuple(order)


STAGES_WHOLE = 3
"""With several stages a rank, torch's runtime keeps the next three gathered: one for a forward,
one for a backward, one on its way."""


def whole_stages(order: tuple[Action, ...]) -> tuple[frozenset[int], ...]:
    """For each action of one rank, the stages whose parameters are whole meanwhile: the next ones
    that the rest of the order names, this one included."""
    found: list[frozenset[int]] = []
    upcoming: list[int] = []  # distinct stages in the order of their next action
    for action in reversed(order):
        upcoming = [action.stage, *(stage for stage in upcoming if stage != action.stage)]
        found.append(frozenset(upcoming[:STAGES_WHOLE]))
    return tuple(reversed(found))


def gathers(order: tuple[Action, ...]) -> dict[int, int]:
    """How often each stage of a rank is gathered in a step."""
    counts = {action.stage: 0 for action in order}
    before: frozenset[int] = frozenset()
    for whole in whole_stages(order):
        for stage in whole - before:
            counts[stage] += 1
        before = whole
    return counts
