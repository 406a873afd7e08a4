"""The batches of a twin: sequence lengths and microbatches of each phase."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compiler.plan import PhasePlan
from compiler.schema.plan import PlanPhase
from compiler.twin.mesh_sizes import AtomSizes
from compiler.twin.sizes import free_size
from dsl.schema import Count, Named

LOSS_CHUNKS = 3
"""Chunks in which the loss of the shortest sequence is computed: a first, a last, and one between.
Sequences are multiples of it; each chunk costs a twin as many collectives as a whole loss."""


@dataclass(frozen=True)
class Shape:
    """Of the batches in one phase of the twin."""

    seq_len: int
    microbatch: int
    microbatches: int

    def global_batch(self, atoms: AtomSizes) -> Count:
        return Count(atoms.dp * self.microbatch * self.microbatches, "sequences")


def choose_shapes(
    phases: tuple[PhasePlan, ...], atoms: AtomSizes, taken: set[int], whole: int
) -> tuple[Shape, ...]:
    """What is equal in two phases stays equal, what is less stays less; one forward stays one."""
    lengths = _ranked(phase.seq_len for phase in phases)
    sizes = _ranked(phase.microbatch for phase in phases)
    counts = _ranked(phase.microbatches for phase in phases if phase.microbatches > 1)
    parts = atoms.cp * atoms.tp
    seq_lens = [free_size(parts, 12, taken, of=whole)]
    for times in range(2, len(lengths) + 1):
        seq_lens.append(free_size(parts, times * seq_lens[0], taken, of=seq_lens[0]))
    unlike = list(itertools.islice(_unlike(atoms), len(counts)))
    return tuple(
        Shape(
            seq_len=seq_lens[lengths[phase.seq_len]],
            microbatch=2 + sizes[phase.microbatch],
            microbatches=1 if phase.microbatches == 1 else unlike[counts[phase.microbatches]],
        )
        for phase in phases
    )


def _ranked(values: Iterable[int]) -> dict[int, int]:
    """Each value's place among those that occur, the least first."""
    return {value: place for place, value in enumerate(sorted(set(values)))}


def _unlike(atoms: AtomSizes) -> Iterator[int]:
    """Microbatches a step: counts above 1, the smallest first, that are the size of no axis; more
    than the stages of a pipeline, and in whole rounds of them."""
    sizes = {*dataclasses.astuple(atoms), atoms.dp, atoms.tp}
    for count in itertools.count(max(2, atoms.pp)):
        if count not in sizes and count % max(1, count // atoms.pp) == 0:
            yield count


def plan_phases(phases: tuple[PhasePlan, ...], shapes: tuple[Shape, ...]) -> Named[PlanPhase]:
    if len(phases) == 1:
        return Named()
    return Named(
        tuple(
            (phase.name, PlanPhase(microbatch=shape.microbatch))
            for phase, shape in zip(phases, shapes, strict=True)
        )
    )
