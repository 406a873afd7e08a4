"""Sizes of values on one rank: elements, bytes, and what a forward leaves for the backward."""

from __future__ import annotations

import math

from compiler.plan import PhasePlan
from compiler.precision import bytes_of
from compiler.rank_program import BlockProgram, Compute, Kept, LocalValue, RankProgram, Region


def elements(value: LocalValue, block: BlockProgram, phase: PhasePlan) -> int:
    """Elements of a value on one rank; `phase.microbatch` is one rank's part of the batch."""
    batch = phase.microbatch * phase.mesh.axis_size("dp")
    sizes = block.sizes | {"seq": phase.seq_len, "batch": batch}
    cuts = (phase.mesh.size(value.layout.cuts(dim)) for dim in value.dims)
    return math.prod(sizes[dim] // cut for dim, cut in zip(value.dims, cuts, strict=True))


def local_bytes(value: LocalValue, block: BlockProgram, phase: PhasePlan) -> int:
    """Bytes of a value on one rank."""
    each = bytes_of(value.precision, phase.spec.train.precision)
    return elements(value, block, phase) * each


def saved_bytes(block: BlockProgram, phase: PhasePlan) -> int:
    """Bytes that one microbatch's forward of a block leaves for the backward."""
    made = [*block.inputs]
    for statement in block.statements:
        if not isinstance(statement, Region):
            made += statement.outputs
        if isinstance(statement, Compute):
            made += statement.beside
    return sum(local_bytes(value, block, phase) for value in made if value.kept is Kept.SAVED)


def stream_bytes(phase: PhasePlan, program: RankProgram) -> int:
    """What one microbatch hands from stage to stage: the head's first input."""
    return local_bytes(program.head.inputs[0], program.head, phase)
