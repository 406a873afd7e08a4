"""What lies on each pipeline rank: its blocks, and the units that FSDP gathers together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compiler.plan import PhasePlan
from compiler.rank_program import BlockProgram, Fsdp, LocalParameter, RankProgram, stored_name


@dataclass(frozen=True)
class Stage:
    """The blocks of one pipeline rank: all its virtual stages together."""

    rank: int
    virtual: tuple[int, ...]
    blocks: tuple[tuple[BlockProgram, ...], ...]


Stored = tuple[BlockProgram, LocalParameter]


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


def by_contract(unit: tuple[Stored, ...], program: RankProgram) -> dict[Fsdp, list[Stored]]:
    """A unit's parameters by the contract that shards them."""
    found: dict[Fsdp, list[Stored]] = {}
    for block, parameter in unit:
        contract = program.contract(stored_name(block, parameter))
        found.setdefault(contract, []).append((block, parameter))
    return found


def stage_parameters(stage: Stage, program: RankProgram) -> int:
    """Elements of all weights of a stage on one of its ranks, before FSDP cuts them."""
    every = (pair for blocks in stage.blocks for unit in units(blocks, program) for pair in unit)
    return sum(math.prod(parameter.shape) for _, parameter in every)
