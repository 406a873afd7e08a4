"""What the backward finds of a value is there or can be made again, and nothing is kept in vain."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.internal_error import Defect
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Compute,
    Kept,
    RankProgram,
    Region,
    Statement,
)
from compiler.well_formed.place import Place

MADE_AGAIN = (Kept.REGATHERED, Kept.RECOMPUTED)


def kept_defects(program: RankProgram, block: BlockProgram) -> Iterator[Defect]:
    """Of one block, by the policy of its checkpoint."""
    place = Place(block.name)
    nodes = (node for node in program.delegated if isinstance(node, Checkpoint))
    policies = [node.policy for node in nodes if node.block == block.name]
    if len(policies) > 1:
        yield place.defect(f"it has {len(policies)} checkpoints")
    outputs = [v for s in block.statements if not isinstance(s, Region) for v in s.outputs]
    again = any(value.kept in MADE_AGAIN for value in outputs)
    if again != ("selective" in policies):
        yield place.defect(
            "values are made again without a checkpoint that does it"
            if again
            else "its checkpoint makes nothing again"
        )
    data = {value.name for value in block.inputs if value.precision == "index"}
    for value in block.inputs:
        if value.name in data and value.kept is not Kept.DROPPED:
            yield place.defect("data needs no keeping", value.name)
    yield from _regions(block, place)
    if "full" in policies:
        yield from _only_the_input(block, place)
    else:
        yield from _needed(block, data, place)


def _only_the_input(block: BlockProgram, place: Place) -> Iterator[Defect]:
    for value in block.inputs:
        if value.precision != "index" and value.kept is not Kept.SAVED:
            yield place.defect("a block that runs again needs its input", value.name)
    for statement in block.statements:
        for value in statement.outputs:
            if value.kept is not Kept.DROPPED:
                yield place.at(statement).defect("the whole block runs again", value.name)
        yield from _beside(statement, Kept.RECOMPUTED, place)


def _regions(block: BlockProgram, place: Place) -> Iterator[Defect]:
    """A region computes its pieces again, whatever the policy of its block."""
    for region in block.statements:
        if isinstance(region, Region):
            for line in region.statements:
                yield from _beside(line, Kept.RECOMPUTED, place)
                for value in line.outputs:
                    if value.kept is not Kept.RECOMPUTED:
                        yield place.at(line).defect("a region runs again", value.name)
            for value in region.outputs:
                if value.kept is not Kept.DROPPED:
                    yield place.at(region).defect("a sum over pieces is not kept", value.name)


def _needed(block: BlockProgram, data: set[str], place: Place) -> Iterator[Defect]:
    """What the backward of a statement reads, and what is made again from, is kept; of the rest
    nothing is."""
    always = data | {parameter.name for parameter in block.parameters}
    kept = {value.name: value.kept for value in block.inputs}
    needed: dict[str, Place] = {}
    for statement in block.statements:
        at = place.at(statement)
        kept |= {value.name: value.kept for value in statement.outputs}
        again = [value for value in statement.outputs if value.kept in MADE_AGAIN]
        yield from _beside(statement, Kept.RECOMPUTED if again else Kept.SAVED, place)
        match statement:
            case Compute(operator=operator, inputs=inputs, outputs=outputs):
                saves = operator.saves
                read = {inputs[i] for i in saves.inputs} | {outputs[i].name for i in saves.outputs}
                way = Kept.RECOMPUTED
            case Collective(pair="all_gather" | "all_gather_invariant"):
                read, way = set[str](), Kept.REGATHERED
            case Collective():
                read, way = set[str](), None
            case Region(sliced=sliced):
                read, way = set(sliced), None
        if again:
            read |= set(statement.inputs)
            if any(value.kept is not way for value in again):
                yield at.defect(f"it cannot be {again[0].kept.value}", again[0].name)
        needed |= dict.fromkeys(read - always, at)
    for name, at in needed.items():
        if kept.get(name) is Kept.DROPPED:
            yield at.defect("the backward needs what is dropped", name)
    for name, how in kept.items():
        if how is not Kept.DROPPED and name not in needed and name not in always:
            yield place.defect("the backward does not need what is kept", name)


def _beside(statement: Statement, how: Kept, place: Place) -> Iterator[Defect]:
    """What an operator keeps for itself is found as its outputs are."""
    if isinstance(statement, Compute):
        for value in statement.beside:
            is_unused = all(made.kept is Kept.DROPPED for made in statement.outputs)
            if value.kept is not how and not (is_unused and how is Kept.SAVED):
                yield place.at(statement).defect(f"it is {value.kept.value}", value.name)
