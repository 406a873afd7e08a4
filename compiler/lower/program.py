"""lower: one phase of a plan and the graph -> RankProgram."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

from compiler.graph import ModelGraph
from compiler.lower.block import lower_block
from compiler.mesh import Mesh
from compiler.plan import PhasePlan, Recompute, StateGroup, recompute_text
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Delegated,
    Fsdp,
    GradientSum,
    Kept,
    LocalParameter,
    NormGroup,
    Pipeline,
    RankProgram,
    Region,
    RowUpdate,
    StepProgram,
    TiedSum,
)


def lower(phase: PhasePlan, graph: ModelGraph, clip: float | None) -> RankProgram:
    """Pure and total on a legal plan; sizes that do not divide were refused by the planner.

    Embedding and head are not recomputed: their values are small, or chunked already.
    """
    embedding = lower_block(graph.embedding, phase)
    kinds = tuple(
        _named(lower_block(kind, phase, policy), phase, policy)
        for kind in graph.kinds
        for policy in phase.policies
    )
    head = lower_block(graph.head, phase)
    blocks = (embedding, *kinds, head)
    contracts = _contracts(phase, blocks)
    return RankProgram(
        phase.mesh,
        embedding,
        kinds,
        _layers(phase, graph),
        head,
        _step(phase, blocks, contracts, clip),
        (*contracts, *_delegated(phase, blocks)),
    )


def _named(block: BlockProgram, phase: PhasePlan, policy: Recompute) -> BlockProgram:
    """A kind that pipeline ranks recompute in different ways is a kind for each way."""
    if len(phase.policies) == 1:
        return block
    way = "+".join(policy) if isinstance(policy, tuple) else policy
    return replace(block, name=f"{block.name}.{way}", recompute=recompute_text(policy))


def _layers(phase: PhasePlan, graph: ModelGraph) -> tuple[int, ...]:
    """The kind of each layer, by what it is made of and how its rank recomputes."""
    policies, pp = phase.policies, phase.mesh.axis_size("pp")
    ways = [
        policies.index(phase.recompute[stage % pp])
        for stage, count in enumerate(phase.stages)
        for _ in range(count)
    ]
    return tuple(kind * len(policies) + way for kind, way in zip(graph.layers, ways, strict=True))


def owned(blocks: tuple[BlockProgram, ...]) -> Iterator[tuple[str, LocalParameter]]:
    """Every parameter that has storage of its own, by `block/name`."""
    for block in blocks:
        for parameter in block.parameters:
            if not parameter.tied_to:
                yield f"{block.name}/{parameter.name}", parameter


def _step(
    phase: PhasePlan,
    blocks: tuple[BlockProgram, ...],
    contracts: tuple[Fsdp, ...],
    clip: float | None,
) -> StepProgram:
    mesh = phase.mesh
    return StepProgram(
        (*mesh.axis("dp"), *mesh.axis("cp")),
        phase.microbatches,
        _gradient_sums(mesh, blocks),
        _tied_sums(phase, blocks),
        _norm(phase, blocks, contracts),
        clip,
        tuple(RowUpdate(c.copy, c.parameters) for c in contracts if c.copy != c.shard),
    )


def _gradient_sums(mesh: Mesh, blocks: tuple[BlockProgram, ...]) -> tuple[GradientSum, ...]:
    """One coalesced all-reduce for every set of atoms that gradients are pending on."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, parameter in owned(blocks):
        if parameter.gradient_sums:
            groups.setdefault(parameter.gradient_sums, []).append(name)
    return tuple(
        GradientSum(mesh.name(atoms), atoms, tuple(names)) for atoms, names in groups.items()
    )


def _tied_sums(phase: PhasePlan, blocks: tuple[BlockProgram, ...]) -> tuple[TiedSum, ...]:
    """A tied weight whose owner and user are on different stages is held by both."""
    if not phase.mesh.axis("pp"):
        return ()
    owner, head = blocks[0], blocks[-1]
    tied = {p.tied_to for p in head.parameters if p.tied_to}
    names = [f"{owner.name}/{p.name}" for p in owner.parameters if f"embedding.{p.name}" in tied]
    return (TiedSum(phase.mesh.axis("pp"), tuple(names)),) if names else ()


def _norm(
    phase: PhasePlan, blocks: tuple[BlockProgram, ...], contracts: tuple[Fsdp, ...]
) -> tuple[NormGroup, ...]:
    """Squares are summed over exactly the atoms that cut a parameter: those of its contract, its
    own, and pp, whose stages hold different layers."""
    shard = {name: contract.shard for contract in contracts for name in contract.parameters}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, parameter in owned(blocks):
        atoms = (*shard[name], *phase.mesh.axis("pp"), *parameter.layout.sharding_atoms())
        groups.setdefault(atoms, []).append(name)
    return tuple(NormGroup(atoms, tuple(names)) for atoms, names in groups.items())


def _contracts(phase: PhasePlan, blocks: tuple[BlockProgram, ...]) -> tuple[Fsdp, ...]:
    """One per group of the plan that has parameters."""
    groups: dict[StateGroup, list[str]] = {group: [] for group in phase.groups}
    for name, parameter in owned(blocks):
        groups[phase.group(parameter.dims)].append(name)
    return tuple(_contract(phase, group, names) for group, names in groups.items() if names)


def _contract(phase: PhasePlan, group: StateGroup, names: list[str]) -> Fsdp:
    shard = () if phase.sharding == "zero1" else group.copy
    return Fsdp(
        parameters=tuple(names),
        shard=shard,
        replicate=tuple(atom for atom in group.data if atom not in shard),
        copy=group.copy,
        sharding=phase.sharding,
        reshard_after_forward=phase.sharding == "zero3",
        reduce="sum",
        when="every microbatch" if phase.sharding == "zero3" else "last microbatch",
    )


def _delegated(phase: PhasePlan, blocks: tuple[BlockProgram, ...]) -> tuple[Delegated, ...]:
    pipeline = (Pipeline(phase.schedule, phase.stages, phase.microbatches),)
    every = itertools.cycle(phase.policies)  # kinds stand once for each
    layers = [block for block, way in zip(blocks[1:-1], every, strict=False) if way == "full"]
    checkpoints = (
        *(Checkpoint(block.name, "full") for block in layers),
        *(Checkpoint(b.name, "selective") for b in blocks if b not in layers and _runs_again(b)),
    )
    stages = pipeline if phase.mesh.axis("pp") else ()
    return (*stages, *checkpoints)


def _runs_again(block: BlockProgram) -> bool:
    """Whether the backward makes again what the forward made, regions apart."""
    again = (Kept.REGATHERED, Kept.RECOMPUTED)
    lines = (s for s in block.statements if not isinstance(s, Region))
    return any(value.kept in again for line in lines for value in line.outputs)
