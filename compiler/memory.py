"""Memory of one rank of each pipeline stage, by what the rank program holds and saves.

State: fp32 parameters, gradients and both AdamW moments, cut over the ranks of one copy; beside
them what FSDP gathers and has not yet reduced. Activations: the saved set of the block programs,
times the microbatches in flight by the schedule's own table. Library, allocator and communicator
overheads are the cost model's and are not in here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

from compiler.estimates import Estimate
from compiler.local_sizes import saved_bytes, stream_bytes
from compiler.moments import Moment, moments
from compiler.plan import PhasePlan
from compiler.precision import MASTER, bytes_of
from compiler.rank_program import BlockProgram, Fsdp, RankProgram
from compiler.stages import Stage, by_contract, stages, units


def memory(phase: PhasePlan, program: RankProgram) -> Estimate:
    """One child per pipeline rank; the value is the largest."""
    parts = tuple(_stage(phase, program, stage) for stage in stages(phase, program))
    largest = max(part.value for part in parts)
    formula = "the largest stage" if len(parts) > 1 else "its parts"
    return Estimate("memory", largest, "B", formula, "the rank program", parts)


def _stage(phase: PhasePlan, program: RankProgram, stage: Stage) -> Estimate:
    """At the moment of the step with most bytes."""
    own = dict(zip(stage.virtual, stage.blocks, strict=True))
    states = _states(phase, program, own)
    weight_bytes = bytes_of("compute", phase.spec.train.precision)
    stream = stream_bytes(phase, program)
    last = len(phase.stages) - 1
    saved = {
        # what a stage receives lies in a buffer of the pipeline's
        s: sum(saved_bytes(block, phase) for block in blocks) - stream * (s > 0)
        for s, blocks in own.items()
    }
    buffers = phase.microbatches * stream * sum((s > 0) + (s < last) for s in own)

    def activations(moment: Moment) -> int:
        return sum(n * saved[s] for s, n in moment.live.items())

    def pipeline(moment: Moment) -> int:
        return buffers + stream * sum(n for s, n in moment.live.items() if s < last)

    def gathered(moment: Moment) -> int:
        return weight_bytes * sum(state.gathered(moment) for state in states)

    def unreduced(moment: Moment) -> int:
        return MASTER * sum(state.unreduced(moment) for state in states)

    peak = max(
        moments(phase, stage.rank),
        key=lambda m: activations(m) + pipeline(m) + unreduced(m) + gathered(m),
    )
    cut = " + ".join(state.cut(state.shards) for state in states)
    moments_cut = " + ".join(f"2 x {state.cut(state.copies)}" for state in states)
    gradients = MASTER * sum(max(state.share, state.unreduced(peak)) for state in states)
    late = ", ".join(str(s) for s in sorted(peak.unreduced))
    flight = ", ".join(f"{n} of stage {s}" for s, n in peak.live.items() if n)
    parts = (
        _term("parameters", MASTER * sum(state.share for state in states), cut),
        _term(
            "gradients",
            gradients,
            f"{cut}, or whole on stages {late}" if unreduced(peak) else cut,
        ),
        _term("optimizer", 2 * MASTER * sum(s.held / s.copies for s in states), moments_cut),
        _term("gathered", gathered(peak), f"{weight_bytes} B x {_gathered(states)}"),
        _term("activations", activations(peak), f"saved set x microbatches in flight: {flight}"),
        _term("pipeline", pipeline(peak), "torch's buffers of all microbatches, outputs in flight"),
    )
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    return Estimate(f"stage_{stage.rank}", total, "B", names, "the rank program", parts)


@dataclass(frozen=True)
class _State:
    """Elements of one stage's parameters that share a contract.

    sizes    of each unit, by virtual stage, before FSDP cuts them
    shards   ranks that parameters are cut over; copies: those that share one optimizer state
    is_once  gradients are reduced once per step, after several microbatches
    """

    contract: Fsdp
    sizes: dict[int, list[int]]
    shards: int
    copies: int
    is_once: bool

    @property
    def held(self) -> int:
        return sum(map(sum, self.sizes.values()))

    @property
    def share(self) -> float:
        """Elements of the weights on one rank."""
        return self.held / self.shards

    def cut(self, ranks: int) -> str:
        return f"{MASTER} B x {self.held:,} / {ranks} ranks of a copy"

    def unreduced(self, moment: Moment) -> int:
        """Gradients that are whole until the last microbatch."""
        return sum(sum(self.sizes[s]) for s in moment.unreduced) if self.is_once else 0

    def gathered(self, moment: Moment) -> int:
        """Weights that are whole: the two largest units, or all of a stage."""
        if self.contract.reshard_after_forward:
            return sum(sorted(chain(*self.sizes.values()), reverse=True)[:2])
        return sum(sum(self.sizes[s]) for s in moment.whole)


def _states(
    phase: PhasePlan, program: RankProgram, own: dict[int, tuple[BlockProgram, ...]]
) -> list[_State]:
    """What a stage holds, by contract; `own` has its blocks by virtual stage."""
    sizes: dict[Fsdp, dict[int, list[int]]] = {}
    for s, blocks in own.items():
        for unit in units(blocks, program):
            for contract, stored in by_contract(unit, program).items():
                of_stage = sizes.setdefault(contract, {stage: [] for stage in own})
                of_stage[s].append(sum(math.prod(p.shape) for _, p in stored))
    return [
        _State(
            contract,
            found,
            phase.mesh.size(contract.shard),
            phase.mesh.size(contract.copy),
            contract.when == "last microbatch" and phase.microbatches > 1,
        )
        for contract, found in sizes.items()
    ]


def _gathered(states: list[_State]) -> str:
    ways = (state.contract.reshard_after_forward for state in states)
    texts = ("the two largest units" if way else "what is whole" for way in ways)
    return " + ".join(dict.fromkeys(texts))


def _term(name: str, value: float, formula: str) -> Estimate:
    return Estimate(name, value, "B", formula, "the rank program")
