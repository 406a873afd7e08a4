"""Memory of one rank of each pipeline stage, by what the rank program holds and saves.

State: fp32 parameters, gradients and both AdamW moments, cut over the ranks of one copy; beside
them what FSDP gathers and has not yet reduced. Activations: the saved set of the block programs,
times the microbatches in flight by the schedule's own table. Library, allocator and communicator
overheads are the cost model's and are not in here.
"""

from __future__ import annotations

import math

from compiler.estimates import Estimate
from compiler.local_sizes import MASTER, saved_bytes, stream_bytes
from compiler.lower.program import optimizer_atoms, shard_atoms
from compiler.moments import Moment, moments
from compiler.plan import PhasePlan
from compiler.rank_program import RankProgram
from compiler.stages import Stage, stages, units


def memory(phase: PhasePlan, program: RankProgram, compute_bytes: int) -> Estimate:
    """One child a pipeline rank; the value is the largest."""
    parts = tuple(_stage(phase, program, stage, compute_bytes) for stage in stages(phase, program))
    largest = max(part.value for part in parts)
    formula = "the largest stage" if len(parts) > 1 else "its parts"
    return Estimate("memory", largest, "B", formula, "the rank program", parts)


def _stage(phase: PhasePlan, program: RankProgram, stage: Stage, compute_bytes: int) -> Estimate:
    """At the moment of the step with most bytes."""
    own = dict(zip(stage.virtual, stage.blocks, strict=True))
    sizes = {
        s: [sum(math.prod(p.shape) for _, p in unit) for unit in units(blocks, program)]
        for s, blocks in own.items()
    }
    held = {s: sum(parts) for s, parts in sizes.items()}
    stream = stream_bytes(phase, program, compute_bytes)
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


def _term(name: str, value: float, formula: str) -> Estimate:
    return Estimate(name, value, "B", formula, "the rank program")
