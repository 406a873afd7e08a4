"""Memory of one rank of each pipeline stage, by what the rank program holds and saves.

State: fp32 parameters, gradients and both AdamW moments, cut over the ranks of one copy; beside
them what FSDP gathers and has not yet reduced. Activations: the saved set of the block programs,
times the microbatches in flight by the schedule's own table. Library, allocator and communicator
overheads are the cost model's and are not in here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.estimates import Estimate
from compiler.lower.program import optimizer_atoms, shard_atoms
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
from compiler.schedules import Action, actions, whole_stages
from compiler.schema.train import TrainSpec

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


def compute_bytes(train: TrainSpec) -> int:
    """Bytes of an activation or a gathered weight."""
    return 2 if train.precision == "bf16" else 4


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


def units(blocks: tuple[BlockProgram, ...], program: RankProgram) -> list[tuple[Stored, ...]]:
    """What FSDP gathers together of a virtual stage: each layer, then what stands at the ends.

    A tied head has storage of its own exactly where the embedding is on another stage.
    """
    has_embedding = program.embedding in blocks

    def stored(block: BlockProgram) -> tuple[Stored, ...]:
        own = (p for p in block.parameters if not (p.tied_to and has_embedding))
        return tuple((block, p) for p in own)

    layers = [stored(block) for block in blocks if block in program.kinds]
    ends = tuple(p for block in blocks if block not in program.kinds for p in stored(block))
    return [*layers, *([ends] if ends else [])]


def stage_parameters(stage: Stage, program: RankProgram) -> int:
    """Elements of all weights of a stage on one of its ranks, before FSDP cuts them."""
    every = (pair for blocks in stage.blocks for unit in units(blocks, program) for pair in unit)
    return sum(math.prod(parameter.shape) for _, parameter in every)


def order(phase: PhasePlan, rank: int) -> tuple[Action, ...]:
    """What a pipeline rank does in a step; without a pipeline, forward and backward in turns."""
    pp = phase.mesh.axis_size("pp")
    if pp > 1:
        return actions(phase.schedule, pp, len(phase.stages) // pp, phase.microbatches)[rank]
    return tuple(Action(0, kind, m) for m in range(phase.microbatches) for kind in ("F", "B"))


def in_flight(phase: PhasePlan, rank: int) -> dict[int, int]:
    """For each virtual stage of a rank, the most microbatches whose backward is still to come,
    counted where their sum over the rank's stages is largest."""
    every = (moment.live for moment in moments(phase, rank))
    return max(every, key=lambda live: sum(live.values()))


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
    """At the moment of the step with most bytes."""
    own = dict(zip(stage.virtual, stage.blocks, strict=True))
    sizes = {
        s: [sum(math.prod(p.shape) for _, p in unit) for unit in units(blocks, program)]
        for s, blocks in own.items()
    }
    held = {s: sum(parts) for s, parts in sizes.items()}
    stream = _stream_bytes(phase, program, compute_bytes)
    last = len(phase.stages) - 1
    saved = {
        # what a stage receives lies in a buffer of the pipeline's
        s: sum(saved_bytes(block, phase, compute_bytes) for block in blocks) - stream * (s > 0)
        for s, blocks in own.items()
    }
    buffers = phase.microbatches * stream * sum((s > 0) + (s < last) for s in own)
    cuts_often = phase.sharding == "zero3"

    def activations(moment: Moment) -> int:
        return sum(n * saved[s] for s, n in moment.live.items())

    def gradients(moment: Moment) -> int:
        is_once = not cuts_often and phase.microbatches > 1
        return MASTER * sum(held[s] for s in moment.unreduced) if is_once else 0

    def pipeline(moment: Moment) -> int:
        return buffers + stream * sum(n for s, n in moment.live.items() if s < last)

    def gathered(moment: Moment) -> int:
        if cuts_often:
            largest = sorted((n for parts in sizes.values() for n in parts), reverse=True)
            return compute_bytes * sum(largest[:2])
        return compute_bytes * sum(held[s] for s in moment.whole)

    peak = max(
        moments(phase, stage.rank),
        key=lambda m: activations(m) + pipeline(m) + gradients(m) + gathered(m),
    )
    copy = phase.mesh.size(shard_atoms(phase))
    elements_held = sum(held.values())
    share = MASTER * elements_held / copy
    cut = f"{MASTER} B x {elements_held:,} / {copy} ranks of a copy"
    optimizing = phase.mesh.size(optimizer_atoms(phase))
    moments_cut = f"{MASTER} B x {elements_held:,} / {optimizing} ranks of a copy"
    late = ", ".join(str(s) for s in sorted(peak.unreduced))
    flight = ", ".join(f"{n} of stage {s}" for s, n in peak.live.items() if n)
    parts = (
        _term("parameters", share, cut),
        _term("gradients", max(share, gradients(peak)), f"{cut}, or whole on stages {late}")
        if gradients(peak)
        else _term("gradients", share, cut),
        _term("optimizer", 2 * MASTER * elements_held / optimizing, f"2 x {moments_cut}"),
        _term(
            "gathered",
            gathered(peak),
            f"{compute_bytes} B x {'the two largest units' if cuts_often else 'what is whole'}",
        ),
        _term("activations", activations(peak), f"saved set x microbatches in flight: {flight}"),
        _term("pipeline", pipeline(peak), "torch's buffers of all microbatches, outputs in flight"),
    )
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    return Estimate(f"stage_{stage.rank}", total, "B", names, "the rank program", parts)


def _stream_bytes(phase: PhasePlan, program: RankProgram, compute_bytes: int) -> int:
    """What one microbatch hands from stage to stage."""
    stream = next(value for value in program.head.inputs if "d_model" in value.dims)
    return elements(stream, program.head, phase) * compute_bytes


def _term(name: str, value: float, formula: str) -> Estimate:
    return Estimate(name, value, "B", formula, "the rank program")
