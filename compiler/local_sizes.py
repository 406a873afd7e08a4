"""Sizes of values on one rank: elements, bytes, and what a forward leaves for the backward."""

from __future__ import annotations

import math

from compiler.operators import Attention
from compiler.plan import PhasePlan
from compiler.rank_program import BlockProgram, Compute, Kept, LocalValue, RankProgram, Region
from compiler.schema.train import TrainSpec

MASTER = 4
"""Bytes of an fp32 parameter, a gradient or a moment."""

LOG_SUM_EXP = 4
"""Bytes that attention keeps for each query and head beside its output."""


def compute_bytes(train: TrainSpec) -> int:
    """Bytes of an activation or a gathered weight."""
    return 2 if train.precision == "bf16" else 4


def elements(value: LocalValue, block: BlockProgram, phase: PhasePlan) -> int:
    """Elements of a value on one rank; `phase.microbatch` is one rank's part of the batch."""
    batch = phase.microbatch * phase.mesh.axis_size("dp")
    sizes = block.sizes | {"seq": phase.seq_len, "batch": batch}
    cuts = (phase.mesh.size(value.layout.cuts(dim)) for dim in value.dims)
    return math.prod(sizes[dim] // cut for dim, cut in zip(value.dims, cuts, strict=True))


def saved_bytes(block: BlockProgram, phase: PhasePlan, compute_bytes: int) -> int:
    """Bytes that one microbatch's forward of a block leaves for the backward."""
    total = sum(elements(value, block, phase) * compute_bytes for value in _saved(block))
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Attention):
            output = statement.outputs[0]
            rows = elements(output, block, phase) // block.size("head_dim")
            total += rows * LOG_SUM_EXP if output.kept is Kept.SAVED else 0
    return total


def _saved(block: BlockProgram) -> list[LocalValue]:
    lines = (s for s in block.statements if not isinstance(s, Region))
    outputs = (value for line in lines for value in line.outputs)
    return [value for value in (*block.inputs, *outputs) if value.kept is Kept.SAVED]


def stream_bytes(phase: PhasePlan, program: RankProgram, compute_bytes: int) -> int:
    """What one microbatch hands from stage to stage."""
    stream = next(value for value in program.head.inputs if "d_model" in value.dims)
    return elements(stream, program.head, phase) * compute_bytes
