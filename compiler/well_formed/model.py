"""Blocks fit each other, on one rank and across stages, and ranks that meet in a collective run
the same text.

Every rank runs the program that is checked here, so the ranks of a group could differ in three
things only. Pipeline stages run other blocks: no group of a block goes across them (`values`).
Layers have kinds: a layer has one kind, whichever rank runs it, and ways to recompute, which are
those of its stage, compute the same. Atoms might cut unevenly: all cuts divide (`values`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from compiler.internal_error import Defect
from compiler.placement import Layout
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Compute,
    Kept,
    LocalValue,
    Pipeline,
    RankProgram,
    Region,
    Statement,
)
from compiler.well_formed.place import Place


def model_defects(program: RankProgram) -> Iterator[Defect]:
    """Of the blocks together."""
    names = [block.name for block in program.blocks]
    for name in {name for name in names if names.count(name) > 1}:
        yield Place(name).defect("two blocks have one name")
    for node in program.delegated:
        if isinstance(node, Checkpoint) and node.block not in names:
            yield Place(node.block).defect("a checkpoint of a block that there is not")
    if any(not 0 <= kind < len(program.kinds) for kind in program.layers):
        yield Place("layers").defect(f"a layer is of none of the {len(program.kinds)} kinds")
        return
    yield from _streams(program)
    yield from _nesting(program)
    yield from _sides(program)
    yield from _ways(program)
    yield from _stages(program)


def _streams(program: RankProgram) -> Iterator[Defect]:
    """A block reads the stream as the block before it leaves it, on its own stage or another."""
    order = [program.embedding, *(program.kinds[kind] for kind in program.layers), program.head]
    seen: set[tuple[str, str]] = set()
    for before, after in pairwise(order):
        if (before.name, after.name) in seen:
            continue
        seen.add((before.name, after.name))
        left, read = before.output, after.inputs[0]
        if _lies(left) != _lies(read):
            what = f"{before.name} hands it on as {_lies(left)}, and it is read as {_lies(read)}"
            yield Place(after.name).defect(what, read.name)


def _nesting(program: RankProgram) -> Iterator[Defect]:
    """Of two axes that cut one dimension, the same one is always the inner: what is gathered or
    scattered while another axis cuts the dimension too must be contiguous in its part."""
    inside: set[tuple[str, str, str]] = set()  # dimension, inner atom, outer atom
    for block in program.blocks:
        for line in _lines(block):
            if isinstance(line, Collective):
                made = line.outputs[0]
                pairs = set(_nested(line, made.layout))
                if any((dim, outer, inner) in inside for dim, inner, outer in pairs):
                    what = f"elsewhere {line.axis} cuts the same dimension further out"
                    yield Place(block.name).at(line).defect(what, made.name)
                inside |= pairs


def _nested(line: Collective, made: Layout) -> Iterator[tuple[str, str, str]]:
    """(dimension, inner atom, outer atom), of atoms that stay and those that move."""
    for dim in (line.dim, line.to_dim):
        for outer in made.cuts(dim):
            if outer not in line.atoms:
                yield from ((dim, inner, outer) for inner in line.atoms)


def _lines(block: BlockProgram) -> Iterator[Compute | Collective]:
    for statement in block.statements:
        if isinstance(statement, Region):
            yield from statement.statements
        else:
            yield statement


def _sides(program: RankProgram) -> Iterator[Defect]:
    """All inputs but the stream are indices by token, and lie alike in every block."""
    known: dict[str, LocalValue] = {}
    for block in program.blocks:
        own = block.inputs if block == program.embedding else block.inputs[1:]
        for value in own:
            if (value.dims, value.precision) != (("batch", "seq"), "index"):
                yield Place(block.name).defect("it is no index by token of the batch", value.name)
            first = known.setdefault(value.name, value)
            if _lies(first) != _lies(value):
                what = f"it lies as {_lies(value)}, in a block before as {_lies(first)}"
                yield Place(block.name).defect(what, value.name)


def _lies(value: LocalValue) -> str:
    return f"[{', '.join(value.dims)}] {value.layout} {value.precision}"


def _ways(program: RankProgram) -> Iterator[Defect]:
    """Kinds that differ in how they are recomputed compute the same."""
    for first, *others in program.variants:
        for other in others:
            if _computed(other) != _computed(first):
                yield Place(other.name).defect(f"it computes something else than {first.name}")


def _computed(block: BlockProgram) -> BlockProgram:
    """The block without its name and without what the backward finds."""
    return replace(
        block,
        name="",
        recompute="",
        inputs=_forgotten(block.inputs),
        statements=tuple(_without_kept(statement) for statement in block.statements),
        output=replace(block.output, kept=Kept.DROPPED),
    )


def _without_kept(statement: Statement) -> Statement:
    match statement:
        case Compute(outputs=outputs, beside=beside):
            return replace(statement, outputs=_forgotten(outputs), beside=_forgotten(beside))
        case Collective(outputs=outputs):
            return replace(statement, outputs=_forgotten(outputs))
        case Region():
            return statement  # what runs in pieces is always found alike


def _forgotten(values: tuple[LocalValue, ...]) -> tuple[LocalValue, ...]:
    return tuple(replace(value, kept=Kept.DROPPED) for value in values)


def _stages(program: RankProgram) -> Iterator[Defect]:
    """Stages hold every layer once, each rank as many stages as any other."""
    ranks = program.mesh.axis_size("pp")
    pipelines = [node for node in program.delegated if isinstance(node, Pipeline)]
    if len(pipelines) != (ranks > 1):
        yield Place("pipeline").defect(f"{len(pipelines)} pipelines over {ranks} ranks of pp")
    for node in pipelines:
        if sum(node.stages) != len(program.layers) or min(node.stages, default=0) < 0:
            what = f"stages hold {node.stages} layers of {len(program.layers)}"
            yield Place("pipeline").defect(what)
        if not node.stages or len(node.stages) % ranks:
            yield Place("pipeline").defect(f"{len(node.stages)} stages on {ranks} ranks")
        if node.microbatches != program.step.microbatches:
            what = f"{node.microbatches} microbatches, the step has {program.step.microbatches}"
            yield Place("pipeline").defect(what)
        else:
            yield from _one_way(program, node, ranks)


def _one_way(program: RankProgram, pipeline: Pipeline, ranks: int) -> Iterator[Defect]:
    """The layers of one rank are recomputed in one way: `model.py` chooses a class by rank."""
    stages = [stage for stage, count in enumerate(pipeline.stages) for _ in range(count)]
    ways: dict[int, str] = {}
    for stage, kind in zip(stages, program.layers, strict=False):
        block = program.kinds[kind]
        if ways.setdefault(stage % ranks, block.recompute) != block.recompute:
            what = f"rank {stage % ranks} of pp also recomputes layers by {ways[stage % ranks]!r}"
            yield Place(block.name).defect(what)
