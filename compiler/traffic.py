"""Traffic: every collective of one rank in one optimizer step, counted from the rank program.

Block programs times layers times microbatches (forward, the backward that each named pair
declares, what a checkpoint runs again), then what is delegated (FSDP, pipeline) and the step's own.
The dry run holds these figures against what the emitted program really calls.

`bytes` are those of the whole buffer on one rank: what an all-gather makes, what a reduce-scatter
or an all-reduce is given, what is sent. A group of one rank moves nothing and is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

from compiler import pairs
from compiler.local_sizes import local_bytes, stream_bytes
from compiler.moments import order
from compiler.pairs import PAIRS
from compiler.plan import PhasePlan
from compiler.precision import MASTER, bytes_of
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Compute,
    Fsdp,
    Kept,
    LocalParameter,
    RankProgram,
    Region,
    Statement,
    stored_name,
)
from compiler.schedules import gathers
from compiler.stages import Stage, Stored, by_contract, units

Kind = pairs.Kind | Literal["send", "receive"]
Cause = Literal["forward", "backward", "recomputation", "sharding", "pipeline", "step"]

REDUCED = bytes_of("accumulate", "fp32")
"""Bytes of what is summed between ranks outside the blocks: gradients, norms and losses."""
COUNT = bytes_of("index", "fp32")
"""Bytes of the number of valid targets."""
VOTE = 4
"""Bytes by which neighbouring stages agree, once per step, that their shapes are as declared."""


@dataclass(frozen=True)
class Transfer:
    """`count` collectives of one kind over one group, and the bytes of them all together."""

    cause: Cause
    kind: Kind
    atoms: tuple[str, ...]
    count: int
    bytes: int

    def times(self, n: int) -> Transfer:
        return Transfer(self.cause, self.kind, self.atoms, self.count * n, self.bytes * n)


def traffic(phase: PhasePlan, program: RankProgram, stage: Stage) -> tuple[Transfer, ...]:
    """All transfers of the first rank of a stage in one step, equal ones added up."""
    blocks = [block for virtual in stage.blocks for block in virtual]
    each = [
        transfer.times(phase.microbatches)
        for block in blocks
        for transfer in _block(block, phase, program)
    ]
    found = (
        *each,
        *_sharding(phase, program, stage),
        *_hops(phase, program, stage),
        *_step(phase, program, stage),
    )
    return _added(transfer for transfer in found if phase.mesh.size(transfer.atoms) > 1)


def totals(transfers: Iterable[Transfer]) -> dict[tuple[tuple[str, ...], Kind], tuple[int, int]]:
    """(count, bytes) by group and kind."""
    counts: Counter[tuple[tuple[str, ...], Kind]] = Counter()
    sizes: Counter[tuple[tuple[str, ...], Kind]] = Counter()
    for transfer in transfers:
        counts[transfer.atoms, transfer.kind] += transfer.count
        sizes[transfer.atoms, transfer.kind] += transfer.bytes
    return {key: (counts[key], sizes[key]) for key in counts}


def _added(transfers: Iterable[Transfer]) -> tuple[Transfer, ...]:
    found: dict[tuple[Cause, Kind, tuple[str, ...]], Transfer] = {}
    for t in transfers:
        key = (t.cause, t.kind, t.atoms)
        had = found.get(key, Transfer(*key, 0, 0))
        found[key] = Transfer(*key, had.count + t.count, had.bytes + t.bytes)
    return tuple(found.values())


# Blocks: what their programs say, once per microbatch.


def _block(block: BlockProgram, phase: PhasePlan, program: RankProgram) -> Iterator[Transfer]:
    full = any(
        isinstance(node, Checkpoint) and node.policy == "full" and node.block == block.name
        for node in program.delegated
    )
    again = _until_last_kept(block.statements) if full else _replayed(block, phase, program)
    for statement in block.statements:
        match statement:
            case Compute():
                pass
            case Collective():
                kept = {value.kept for value in statement.outputs}
                regathered = Kept.REGATHERED in kept or statement in again
                size = _bytes(statement, block, phase)
                yield from _pair(statement, size, 1, regathered)
            case Region(statements=lines, chunks=chunks):
                repeated = _until_last_kept(lines)
                for line in lines:
                    if isinstance(line, Collective):
                        size = _bytes(line, block, phase)
                        yield from _pair(line, size, chunks, line in repeated)
            case _:
                assert_never(statement)


def _replayed(
    block: BlockProgram, phase: PhasePlan, program: RankProgram
) -> tuple[Collective, ...]:
    """Gathers of a layer that is not compiled: torch runs it again as a whole, but for what it
    kept, and so gathers what only kept results were made of (keys, of one key/value head)."""
    if block not in program.kinds or phase.decision("compile").value is True:
        return ()
    run = (line for line in _until_last_kept(block.statements) if isinstance(line, Collective))
    return tuple(line for line in run if PAIRS[line.pair].forward == "all_gather")


def _until_last_kept(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """What a recomputation runs: it ends where the backward's last input has been made."""
    last = max(
        (
            index
            for index, statement in enumerate(statements)
            if isinstance(statement, Region)
            or (isinstance(statement, Compute) and statement.operator.saves.any)
        ),
        default=-1,
    )
    return statements[: last + 1]


def _pair(statement: Collective, size: int, pieces: int, again: bool) -> Iterator[Transfer]:
    """Forward, repeated forward, and the backward that the pair fixes; `size` is of all pieces."""
    atoms, row = statement.atoms, PAIRS[statement.pair]
    if row.forward is not None:
        yield Transfer("forward", row.forward, atoms, pieces, size)
    if row.forward is not None and again:
        yield Transfer("recomputation", row.forward, atoms, pieces, size)
    if row.backward is not None:
        yield Transfer("backward", row.backward, atoms, pieces, size)


def _bytes(statement: Collective, block: BlockProgram, phase: PhasePlan) -> int:
    """The larger side: the output of a gather or a sum, the input of a scatter."""
    made = sum(local_bytes(value, block, phase) for value in statement.outputs)
    parts = phase.mesh.size(statement.atoms) if statement.pair == "reduce_scatter" else 1
    return made * parts


# FSDP, by its contract: one unit per layer, and one for both ends.


def _sharding(phase: PhasePlan, program: RankProgram, stage: Stage) -> Iterator[Transfer]:
    again = gathers(order(phase, stage.rank)) if phase.schedule == "interleaved" else {}

    def passes(contract: Fsdp, number: int, is_last: bool) -> int:
        """How often a unit is gathered; the last of a stage is whole until its backward."""
        if contract.reshard_after_forward:
            return phase.microbatches * (1 if is_last else 2)
        return again.get(number, 1)

    for number, blocks in zip(stage.virtual, stage.blocks, strict=True):
        layers = sum(block in program.kinds for block in blocks)
        for i, unit in enumerate(units(blocks, program)):
            for contract, stored in by_contract(unit, program).items():
                gathered = passes(contract, number, i >= layers - 1)
                yield from _unit(contract, stored, phase, gathered)


def _unit(
    contract: Fsdp, stored: list[Stored], phase: PhasePlan, gathered: int
) -> Iterator[Transfer]:
    """What FSDP moves in a step for the parameters of one unit that share a contract."""
    parts = phase.mesh.size(contract.shard)
    size = sum(_padded(p, block, parts) for block, p in stored)
    reductions = phase.microbatches if contract.when == "every microbatch" else 1
    share = REDUCED * size // parts
    width = bytes_of("compute", phase.spec.train.precision)
    yield Transfer("sharding", "all_gather", contract.shard, 1, width * size).times(gathered)
    yield Transfer("sharding", "reduce_scatter", contract.shard, 1, REDUCED * size).times(
        reductions
    )
    yield Transfer("sharding", "all_reduce", contract.replicate, 1, share).times(reductions)


def _padded(parameter: LocalParameter, block: BlockProgram, parts: int) -> int:
    """Elements, with the rows filled up to a multiple of the ranks that they are dealt out to."""
    rows = math.prod(block.local_size(dim) for dim in parameter.sides[0])
    return math.prod(parameter.shape) // rows * math.ceil(rows / parts) * parts


# Pipeline: the residual stream to the next virtual stage, its gradient back.


def _hops(phase: PhasePlan, program: RankProgram, stage: Stage) -> Iterator[Transfer]:
    atoms = phase.mesh.axis("pp")
    last = len(phase.stages) - 1
    size = stream_bytes(phase, program)
    for number in stage.virtual:
        neighbours = (number > 0) + (number < last)
        hops = neighbours * phase.microbatches
        moved = hops * size + neighbours * VOTE
        yield Transfer("pipeline", "send", atoms, hops + neighbours, moved)
        yield Transfer("pipeline", "receive", atoms, hops + neighbours, moved)


# The step's own.


def _step(phase: PhasePlan, program: RankProgram, stage: Stage) -> Iterator[Transfer]:
    """Valid targets and loss over the data axes; gradients owed; the norm, first over what cuts
    some parameters, then over what cuts all; updated rows."""
    data = program.data_contract
    updated = {name: u.atoms for u in program.step.row_updates for name in u.parameters}
    share: Counter[str] = Counter()  # elements that this rank stores, by name in the step program
    for blocks in stage.blocks:
        for block, p in (pair for unit in units(blocks, program) for pair in unit):
            name = stored_name(block, p)
            parts = phase.mesh.size(program.contract(name).shard)
            share[name] += _padded(p, block, parts) // parts
            if name in updated:
                size = _padded(p, block, phase.mesh.size(updated[name]))
                yield Transfer("step", "all_gather", updated[name], 1, MASTER * size)

    def summed(atoms: tuple[str, ...], size: int) -> Transfer:
        return Transfer("step", "all_reduce", atoms, 1, size)

    pipeline = phase.mesh.axis("pp")
    for atoms in (data.replicas, data.copy):
        yield summed(atoms, COUNT)
        yield summed(atoms, REDUCED)
    yield summed(pipeline, REDUCED)
    for owed in (*program.step.gradient_sums, *program.step.tied_sums):
        size = sum(share[name] for name in owed.parameters)
        if size:
            yield summed(owed.atoms, REDUCED * size)
    for group in program.step.norm:
        held = (program.contract(name).shard for name in group.parameters if share[name])
        for shard in dict.fromkeys(held):
            always = {*shard, *pipeline}
            yield summed(tuple(atom for atom in group.atoms if atom not in always), REDUCED)
    for atoms in (*dict.fromkeys(contract.shard for contract in program.contracts), pipeline):
        yield summed(atoms, REDUCED)
