"""Memory of one rank of each pipeline stage, by what the rank program holds and saves.

State: fp32 parameters, gradients and both AdamW moments, cut over the ranks of one copy; beside
them what FSDP gathers and has not yet reduced. Activations: the saved set of the block programs,
times the microbatches in flight by the schedule's own table. Library, allocator and communicator
overheads are the cost model's and are not in here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from compiler.estimates import Estimate
from compiler.lower.program import shard_atoms
from compiler.operators import Attention
from compiler.plan import PhasePlan
from compiler.rank_program import (
    BlockProgram,
    Compute,
    Kept,
    LocalParameter,
    LocalValue,
    RankProgram,
    Region,
)
from compiler.schedules import actions

MASTER = 4
"""Bytes of an fp32 parameter, a gradient or a moment."""
LOG_SUM_EXP = 4
"""Bytes that attention keeps for each query and head beside its output."""


@dataclass(frozen=True)
class Stage:
    """The blocks of one pipeline rank: all its virtual stages together."""

    rank: int
    virtual: tuple[int, ...]
    blocks: tuple[tuple[BlockProgram, ...], ...]


Stored = tuple[BlockProgram, LocalParameter]


def memory(phase: PhasePlan, program: RankProgram, compute_bytes: int) -> Estimate:
    """One child a pipeline rank; the value is the largest."""
    parts = tuple(_stage(phase, program, stage, compute_bytes) for stage in stages(phase, program))
    largest = max(part.value for part in parts)
    formula = "the largest stage" if len(parts) > 1 else "its parts"
    return Estimate("memory", largest, "B", formula, "the rank program", parts)


def stages(phase: PhasePlan, program: RankProgram) -> tuple[Stage, ...]:
    """Which blocks stand on which pipeline rank; without a pipeline, all on one."""
    pp = phase.mesh.axis_size("pp")
    starts = [sum(phase.stages[:s]) for s in range(len(phase.stages))]
    last = len(phase.stages) - 1

    def blocks(s: int) -> tuple[BlockProgram, ...]:
        kinds = program.layers[starts[s] : starts[s] + phase.stages[s]]
        layers = tuple(program.kinds[kind] for kind in kinds)
        first = (program.embedding,) if s == 0 else ()
        return (*first, *layers, *((program.head,) if s == last else ()))

    return tuple(
        Stage(rank, virtual, tuple(blocks(s) for s in virtual))
        for rank in range(pp)
        for virtual in [tuple(range(rank, len(phase.stages), pp))]
    )


def units(stage: Stage, program: RankProgram) -> list[tuple[Stored, ...]]:
    """What FSDP gathers together, as the stage holds it: each layer, then what stands at the ends.

    A tied head has storage of its own exactly where the embedding is on another rank.
    """
    blocks = [block for virtual in stage.blocks for block in virtual]
    has_embedding = program.embedding in blocks

    def stored(block: BlockProgram) -> tuple[Stored, ...]:
        own = (p for p in block.parameters if not (p.tied_to and has_embedding))
        return tuple((block, p) for p in own)

    layers = [stored(block) for block in blocks if block in program.kinds]
    ends = tuple(p for block in blocks if block not in program.kinds for p in stored(block))
    return [*layers, *([ends] if ends else [])]


def in_flight(phase: PhasePlan, rank: int) -> dict[int, int]:
    """For each virtual stage of a rank, the most microbatches whose backward is still to come,
    counted where their sum over the rank's stages is largest."""
    pp = phase.mesh.axis_size("pp")
    if pp == 1:
        return {0: 1}
    table = actions(phase.schedule, pp, len(phase.stages) // pp, phase.microbatches)[rank]
    live = dict.fromkeys(range(rank, len(phase.stages), pp), 0)
    largest = dict(live)
    for action in table:
        live[action.stage] += 1 if action.kind == "F" else -1
        if sum(live.values()) > sum(largest.values()):
            largest = dict(live)
    return largest


def saved_bytes(block: BlockProgram, phase: PhasePlan, compute_bytes: int) -> int:
    """Bytes that one microbatch's forward of a block leaves for the backward."""
    total = sum(elements(value, block, phase) * compute_bytes for value in _saved(block))
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Attention):
            output = statement.output
            rows = elements(output, block, phase) // block.size("head_dim")
            total += rows * LOG_SUM_EXP if output.kept is Kept.SAVED else 0
    return total


def _saved(block: BlockProgram) -> list[LocalValue]:
    outputs = [s.output for s in block.statements if not isinstance(s, Region)]
    return [value for value in (*block.inputs, *outputs) if value.kept is Kept.SAVED]


def elements(value: LocalValue, block: BlockProgram, phase: PhasePlan) -> int:
    """Elements of a value on one rank; a microbatch is a rank's own, so batch is not cut again."""
    sizes = dict(block.sizes) | {"seq": phase.seq_len, "batch": phase.microbatch}
    batch_cut = set(phase.mesh.axis("dp"))
    cuts = (
        math.prod(
            phase.mesh.atom_size(atom) for atom in value.layout.cuts(dim) if atom not in batch_cut
        )
        for dim in value.dims
    )
    return math.prod(sizes[dim] // cut for dim, cut in zip(value.dims, cuts, strict=True))


def _stage(phase: PhasePlan, program: RankProgram, stage: Stage, compute_bytes: int) -> Estimate:
    sizes = [sum(math.prod(p.shape) for _, p in unit) for unit in units(stage, program)]
    held = sum(sizes)
    copy = phase.mesh.size(shard_atoms(phase))
    live = in_flight(phase, stage.rank)
    activations = sum(
        live[s] * saved_bytes(block, phase, compute_bytes)
        for s, virtual in zip(stage.virtual, stage.blocks, strict=True)
        for block in virtual
    )
    flight = " + ".join(f"{live[s]} of stage {s}" for s in stage.virtual if stage.blocks)
    cut = f"{held:,} parameters / {copy} ranks of a copy"
    parts = (
        _term("parameters", MASTER * held / copy, f"{MASTER} B x {cut}"),
        _gradients(phase, held, copy, cut),
        _term("optimizer", 2 * MASTER * held / copy, f"2 x {MASTER} B x {cut}"),
        _gathered(phase, sizes, compute_bytes),
        _term("activations", activations, f"saved set x microbatches in flight: {flight}"),
    )
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    return Estimate(f"stage_{stage.rank}", total, "B", names, "the rank program", parts)


def _gradients(phase: PhasePlan, held: int, copy: int, cut: str) -> Estimate:
    """This rank's share; or the whole, where it is reduced at the last microbatch only: a unit's
    share then takes the place of its whole."""
    if phase.sharding == "zero3" or phase.microbatches == 1:
        return _term("gradients", MASTER * held / copy, f"{MASTER} B x {cut}")
    formula = f"{MASTER} B x {held:,} parameters, whole until the last microbatch"
    return _term("gradients", MASTER * held, formula)


def _gathered(phase: PhasePlan, sizes: list[int], compute_bytes: int) -> Estimate:
    """What FSDP holds whole: two units at a time where it reshards after the forward, everything
    where it gathers once a step."""
    if phase.sharding == "zero3":
        largest = sorted(sizes, reverse=True)[:2]
        named = " + ".join(f"{n:,}" for n in largest)
        return _term("gathered", compute_bytes * sum(largest), f"{compute_bytes} B x ({named})")
    formula = f"{compute_bytes} B x {sum(sizes):,}"
    return _term("gathered", compute_bytes * sum(sizes), formula)


def _term(name: str, value: float, formula: str) -> Estimate:
    return Estimate(name, value, "B", formula, "the rank program")
