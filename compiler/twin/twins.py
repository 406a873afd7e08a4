"""The twins of a program: each part shrunk by the module of its name, put together here."""

from __future__ import annotations

import math
from dataclasses import replace

from compiler.plan import PhasePlan, Recompute
from compiler.schema.cluster import ClusterSpec, CpuNode
from compiler.schema.plan import ByStage, Interleaved, PlanSpec, Schedule
from compiler.schema.train import PhaseSpec
from compiler.twin.batches import LOSS_CHUNKS, choose_shapes, plan_phases
from compiler.twin.mesh_sizes import AtomSizes, choose_atom_sizes
from compiler.twin.model_sizes import deepen, least_vocab, shrink_model
from compiler.twin.training import shrink_evaluation, shrink_training, train_phases
from dsl.schema import AUTO, Named


def twins_of(spec: PlanSpec, *phases: PhasePlan) -> tuple[PlanSpec, ...]:
    """One twin, or two in which as many pairs of atoms as possible differ once, of the program that
    goes through these phases; its twins go through as many."""
    twins = tuple(_twin(phases, atoms) for atoms in choose_atom_sizes(phases[0]))
    if len(phases) > 1 or not spec.train.phase.items:
        return twins
    # a program that is a phase of a run has other text
    only = Named((("only", PhaseSpec()),))
    return tuple(replace(twin, train=replace(twin.train, phase=only)) for twin in twins)


def _twin(phases: tuple[PhasePlan, ...], atoms: AtomSizes) -> PlanSpec:
    phase = phases[0]
    spec = phase.spec
    schedule = _shrink_schedule(spec.schedule)
    taken: set[int] = set()
    least = least_vocab(spec.train.data)
    longest = max(phase.seq_len for phase in phases)
    model = shrink_model(phase, atoms, taken, least, longest)
    if atoms.pp > 1:
        chunks = schedule.chunks if isinstance(schedule, Interleaved) else 1
        model = deepen(model, atoms.pp * chunks, whole=len(phase.policies) > 1)
    pieces = 2 * atoms.cp if atoms.cp > 1 else 1
    whole = math.lcm(pieces, LOSS_CHUNKS * atoms.cp)  # equal pieces, and chunks of a rank's part
    shapes = choose_shapes(phases, atoms, taken, whole)
    return replace(
        spec,
        model=model,
        cluster=ClusterSpec(nodes=1, node=CpuNode(devices=atoms.world)),
        train=replace(
            shrink_training(spec.train),
            seq_len=shapes[0].seq_len,
            global_batch=shapes[0].global_batch(atoms),
            eval=shrink_evaluation(spec.train.eval, atoms, shapes[-1]),
            phase=train_phases(phases, shapes, atoms),
        ),
        dp=atoms.dp,
        fsdp=1 if phase.sharding == "none" else atoms.shard * atoms.cp,
        tp=atoms.tp,
        cp=atoms.cp,
        pp=atoms.pp,
        schedule=schedule,
        stages=AUTO,
        microbatch=shapes[0].microbatch,
        recompute=_spread_recompute(phase, atoms.pp),
        compile=False,
        phase=plan_phases(phases, shapes),
    )


def _shrink_schedule(schedule: Schedule) -> Schedule:
    return Interleaved(chunks=2) if isinstance(schedule, Interleaved) else schedule


def _spread_recompute(phase: PhasePlan, pp: int) -> Recompute | ByStage:
    """Of every rank of as many; of another number each way once, then the last one's."""
    ways = phase.policies
    if len(ways) == 1:
        return ways[0]
    if len(phase.recompute) == pp:
        return ByStage(stages=phase.recompute)
    return ByStage(stages=(*ways, *phase.recompute[-1:] * (pp - len(ways))))
