"""Every small change of a rank program that leaves its parts not fitting each other.

A mutation is (what was done, the program after it). `EQUIVALENT` has those after which the parts
still fit, by how their names begin, each with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from compiler.mesh import Mesh
from compiler.pairs import PAIRS
from compiler.placement import Layout, Partial, Placement, R, Shard, layout
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Compute,
    Fsdp,
    GradientSum,
    Kept,
    LocalParameter,
    LocalValue,
    NormGroup,
    Pipeline,
    RankProgram,
    Region,
    RowUpdate,
    Statement,
    TiedSum,
)

Mutation = tuple[str, RankProgram]
T = TypeVar("T")
Group = GradientSum | TiedSum | NormGroup | RowUpdate

EQUIVALENT = {
    "kept saved -> recomputed": "another choice of what runs again, where its inputs are kept",
    "kept recomputed -> saved": "another choice of what is saved",
    "kept re-gathered -> saved": "another choice of what is saved",
    "kept saved -> re-gathered": "another choice of what is gathered again",
}


def mutations(program: RankProgram) -> Iterator[Mutation]:
    for index, block in enumerate(program.blocks):
        for what, changed in _blocks(program.mesh, block):
            yield f"{what} in {block.name}", _with_block(program, index, changed)
    yield from _contracts(program)
    yield from _model(program)


def _with_block(program: RankProgram, index: int, block: BlockProgram) -> RankProgram:
    embedding, *kinds, head = (*program.blocks[:index], block, *program.blocks[index + 1 :])
    return replace(program, embedding=embedding, kinds=tuple(kinds), head=head)


def _each(items: tuple[T, ...]) -> Iterator[tuple[int, T]]:
    yield from enumerate(items)


def _put(items: tuple[T, ...], index: int, *new: T) -> tuple[T, ...]:
    return (*items[:index], *new, *items[index + 1 :])


# Blocks


def _blocks(mesh: Mesh, block: BlockProgram) -> Iterator[tuple[str, BlockProgram]]:
    for i, statement in _each(block.statements):
        for what, new in _statements(mesh, statement):
            yield what, replace(block, statements=_put(block.statements, i, *new))
    for i, value in _each(block.inputs):
        yield f"drop input {value.name}", replace(block, inputs=_put(block.inputs, i))
        for what, new in _values(mesh, value):
            yield f"input {what}", replace(block, inputs=_put(block.inputs, i, new))
    for where in _layouts(mesh, block.output):
        changed = replace(block.output, layout=where)
        yield "layout of the block's output", replace(block, output=changed)
    for i, (dim, size) in _each(block.local):
        yield f"local size of {dim}", replace(block, local=_put(block.local, i, (dim, 2 * size)))
    for i, term in _each(block.losses):
        unknown = replace(term, value=replace(term.value, name="nothing"))
        yield "loss of nothing", replace(block, losses=_put(block.losses, i, unknown))
    for i, parameter in _each(block.parameters):
        yield f"drop {parameter.name}", replace(block, parameters=_put(block.parameters, i))
        twice = _put(block.parameters, i, parameter, parameter)
        yield f"duplicate {parameter.name}", replace(block, parameters=twice)
        for what, new in _parameters(mesh, parameter):
            yield what, replace(block, parameters=_put(block.parameters, i, new))


def _statements(mesh: Mesh, statement: Statement) -> Iterator[tuple[str, tuple[Statement, ...]]]:
    name = statement.outputs[0].name
    yield f"drop {name}", ()
    yield f"duplicate {name}", (statement, statement)
    match statement:
        case Region():
            yield from ((what, (new,)) for what, new in _regions(mesh, statement))
        case Compute() | Collective():
            yield from ((what, (new,)) for what, new in _lines(mesh, statement))


def _lines(mesh: Mesh, line: Compute | Collective) -> Iterator[tuple[str, Compute | Collective]]:
    for i, name in _each(line.inputs):
        yield f"read nothing for {name}", replace(line, inputs=_put(line.inputs, i, "nothing"))
    for i, value in _each(line.outputs):
        renamed = replace(value, name=f"{value.name}_renamed")
        yield f"rename {value.name}", replace(line, outputs=_put(line.outputs, i, renamed))
        for what, new in _values(mesh, value):
            yield what, replace(line, outputs=_put(line.outputs, i, new))
    if isinstance(line, Collective):
        for pair in PAIRS:
            if pair != line.pair:
                yield f"{line.pair} -> {pair}", replace(line, pair=pair)
        for axis, atoms in mesh.axes:
            if atoms and atoms != line.atoms:
                yield f"axis {line.axis} -> {axis}", replace(line, axis=axis, atoms=atoms)
                yield f"name of axis {line.axis} -> {axis}", replace(line, axis=axis)
        if line.dim:
            dim = next(dim for dim in ("d_model", "batch") if dim != line.dim)
            yield f"{line.dim} -> {dim}", replace(line, dim=dim)


def _regions(mesh: Mesh, region: Region) -> Iterator[tuple[str, Region]]:
    yield "no pieces", replace(region, chunks=0)
    yield "uneven pieces", replace(region, chunks=10007)
    for i, name in _each(region.sliced):
        yield f"drop piece {name}", replace(region, sliced=_put(region.sliced, i))
        whole = (*region.whole, name)
        yield f"pass {name} whole", replace(region, sliced=_put(region.sliced, i), whole=whole)
    for i, name in _each(region.whole):
        yield f"drop whole {name}", replace(region, whole=_put(region.whole, i))
    for i, line in _each(region.statements):
        for what, new in _statements(mesh, line):
            lines = tuple(one for one in new if not isinstance(one, Region))
            yield (
                f"{what} in a region",
                replace(region, statements=_put(region.statements, i, *lines)),
            )


def _values(mesh: Mesh, value: LocalValue) -> Iterator[tuple[str, LocalValue]]:
    for where in _layouts(mesh, value):
        yield f"layout of {value.name}", replace(value, layout=where)
    if value.dims:
        yield f"dimensions of {value.name}", replace(value, dims=value.dims[:-1])
    other = "compute" if value.precision != "compute" else "accumulate"
    yield f"precision of {value.name}", replace(value, precision=other)
    for kept in Kept:
        if kept is not value.kept:
            before, after = value.kept.value or "dropped", kept.value or "dropped"
            yield f"kept {before} -> {after} of {value.name}", replace(value, kept=kept)


def _layouts(mesh: Mesh, value: LocalValue | LocalParameter) -> Iterator[Layout]:
    """The layout with another placement on one atom."""
    for atom in mesh.tensor_atoms:
        here = value.layout.on(atom)
        others: list[Placement] = [R, Partial(), *(Shard(dim) for dim in value.dims)]
        for placement in others:
            if placement != here:
                yield layout(mesh, dict(value.layout.entries) | {atom: placement})


def _parameters(mesh: Mesh, parameter: LocalParameter) -> Iterator[tuple[str, LocalParameter]]:
    name = parameter.name
    for where in _layouts(mesh, parameter):
        yield f"layout of {name}", replace(parameter, layout=where)
    shape = (2 * parameter.shape[0], *parameter.shape[1:])
    yield f"shape of {name}", replace(parameter, shape=shape)
    yield f"full shape of {name}", replace(parameter, full_shape=(3, *parameter.full_shape[1:]))
    yield f"sides of {name}", replace(parameter, sides=parameter.sides[:-1])
    for i, _ in _each(parameter.gradient_sums):
        less = _put(parameter.gradient_sums, i)
        yield f"gradient of {name}", replace(parameter, gradient_sums=less)
    for atom in mesh.atoms:
        if atom.name not in parameter.gradient_sums:
            more = (*parameter.gradient_sums, atom.name)
            yield f"gradient of {name} over {atom.name}", replace(parameter, gradient_sums=more)
    yield f"owner of {name}", replace(parameter, tied_to="embedding.nothing")


# Contracts


def _contracts(program: RankProgram) -> Iterator[Mutation]:
    step = program.step
    for field in ("gradient_sums", "tied_sums", "norm", "row_updates"):
        groups = getattr(step, field)
        for i, group in enumerate(groups):
            for what, new in _groups(group):
                changed = replace(step, **{field: _put(groups, i, *new)})
                yield f"{what} in {field}", replace(program, step=changed)
    for i, _ in _each(step.count_over):
        changed = replace(step, count_over=_put(step.count_over, i))
        yield "count over less", replace(program, step=changed)
    for i, node in _each(program.delegated):
        yield f"drop {node}", replace(program, delegated=_put(program.delegated, i))
        twice = _put(program.delegated, i, node, node)
        yield f"duplicate {node}", replace(program, delegated=twice)
        if isinstance(node, Fsdp):
            for what, new in _fsdp(node):
                yield what, replace(program, delegated=_put(program.delegated, i, new))


def _groups(group: Group) -> Iterator[tuple[str, tuple[Group, ...]]]:
    atoms, names = group.atoms, group.parameters
    yield "drop a group", ()
    yield "duplicate a group", (group, group)
    for i, name in _each(names):
        yield f"drop {name}", (replace(group, parameters=_put(names, i)),)
        twice = replace(group, parameters=(*names, name))
        yield f"duplicate {name}", (twice,)
        unknown = replace(group, parameters=_put(names, i, "x/y"))
        yield f"rename {name}", (unknown,)
    for i, atom in _each(atoms):
        yield f"drop atom {atom}", (replace(group, atoms=_put(atoms, i)),)
        twice = replace(group, atoms=(*atoms, atom))
        yield f"duplicate atom {atom}", (twice,)


def _fsdp(node: Fsdp) -> Iterator[tuple[str, Fsdp]]:
    for i, name in _each(node.parameters):
        yield f"fsdp without {name}", replace(node, parameters=_put(node.parameters, i))
        yield f"fsdp with {name} twice", replace(node, parameters=(*node.parameters, name))
    for i, atom in _each(node.shard):
        yield f"fsdp not over {atom}", replace(node, shard=_put(node.shard, i))
        moved = replace(node, shard=_put(node.shard, i), replicate=(*node.replicate, atom))
        yield f"fsdp whole on {atom}", moved
    for i, atom in _each(node.replicate):
        yield f"fsdp without copies on {atom}", replace(node, replicate=_put(node.replicate, i))
    yield "reshard", replace(node, reshard_after_forward=not node.reshard_after_forward)
    other = "last microbatch" if node.when == "every microbatch" else "every microbatch"
    yield "when", replace(node, when=other)


# The model


def _model(program: RankProgram) -> Iterator[Mutation]:
    yield "a layer of no kind", replace(program, layers=(*program.layers[:-1], 99))
    for i, node in _each(program.delegated):
        match node:
            case Pipeline(stages=stages, microbatches=microbatches):
                uneven = replace(node, stages=(stages[0] + 1, *stages[1:]))
                more = replace(node, microbatches=microbatches + 1)
                fewer = replace(node, stages=(stages[0] + stages[1], *stages[2:]))
                for what, new in (("stages", uneven), ("microbatches", more), ("ranks", fewer)):
                    changed = _put(program.delegated, i, new)
                    yield f"{what} of the pipeline", replace(program, delegated=changed)
            case Checkpoint(policy=policy):
                other = "full" if policy == "selective" else "selective"
                changed = _put(program.delegated, i, replace(node, policy=other))
                yield f"checkpoint {policy} -> {other}", replace(program, delegated=changed)
            case Fsdp():
                pass
