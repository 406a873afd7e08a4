"""Names are defined once and before use; cuts divide sizes; placements are what operators ask for
and what named pairs make of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from compiler.internal_error import Defect
from compiler.mesh import Mesh
from compiler.pairs import Pair
from compiler.placement import I, Partial, Placement, R, Shard
from compiler.rank_program import (
    BlockProgram,
    Collective,
    Compute,
    LocalParameter,
    LocalValue,
    Region,
    Statement,
)
from compiler.well_formed.place import Place, held


@dataclass
class _Scope:
    """What is known at one point of a block. `atoms` are those that tensors lie on, with sizes:
    stages share no tensors."""

    mesh: Mesh
    atoms: Mapping[str, int]
    sizes: Mapping[str, int]
    known: dict[str, LocalValue] = field(default_factory=dict[str, LocalValue])
    read: set[str] = field(default_factory=set[str])

    def parts(self, atoms: tuple[str, ...]) -> int:
        return math.prod(self.atoms.get(atom, 1) for atom in atoms)

    def local(self, value: LocalValue, dim: str) -> int:
        return self.sizes[dim] // self.parts(value.layout.cuts(dim))

    def define(self, value: LocalValue, place: Place) -> Iterator[Defect]:
        if value.name in self.known:
            yield place.defect("a value is defined twice", value.name)
        self.known[value.name] = value
        yield from _lies(self, value, place)


def value_defects(mesh: Mesh, block: BlockProgram, batch: Mapping[str, int]) -> Iterator[Defect]:
    """Of one block; `batch` has the full sizes of batch and seq."""
    atoms = {atom: mesh.atom_size(atom) for atom in mesh.tensor_atoms}
    scope, place = _Scope(mesh, atoms, {**block.sizes, **batch}), Place(block.name)
    for value in block.inputs:
        yield from scope.define(value, place)
    for parameter, value in zip(block.parameters, held(block), strict=True):
        yield from scope.define(value, replace(place, origin=parameter.origin))
        yield from _stored(scope, parameter, replace(place, origin=parameter.origin))
    for statement in block.statements:
        yield from _statement(scope, statement, place.at(statement))
    yield from _handed_on(scope, block, place)
    yield from _local_sizes(scope, block, place)


def _lies(scope: _Scope, value: LocalValue, place: Place) -> Iterator[Defect]:
    """A layout cuts dimensions that the value has, evenly, over atoms that tensors lie on."""
    order = list(scope.atoms)
    named = [atom for atom, _ in value.layout.entries]
    if any(atom not in scope.atoms for atom in named):
        yield place.defect(
            f"its layout {value.layout} names an atom that tensors do not lie on", value.name
        )
        return
    if named != sorted(set(named), key=order.index):
        yield place.defect(f"its layout {value.layout} is not in the order of the mesh", value.name)
    for dim in value.dims:
        if dim not in scope.sizes:
            yield place.defect(f"its dimension {dim} has no size", value.name)
        elif scope.sizes[dim] % scope.parts(value.layout.cuts(dim)):
            cut = " x ".join(value.layout.cuts(dim))
            yield place.defect(f"{dim} {scope.sizes[dim]} does not divide over {cut}", value.name)
    for atom, placement in value.layout.entries:
        if isinstance(placement, Shard) and placement.dim not in value.dims:
            yield place.defect(f"{atom} cuts {placement.dim}, which it does not have", value.name)


def _stored(scope: _Scope, parameter: LocalParameter, place: Place) -> Iterator[Defect]:
    """Shapes of a parameter agree with its dimensions and layout."""
    full = tuple(scope.sizes.get(dim, 0) for dim in parameter.dims)
    cuts = (scope.parts(parameter.layout.cuts(dim)) for dim in parameter.dims)
    local = tuple(size // cut for size, cut in zip(full, cuts, strict=True))
    if parameter.full_shape != full:
        yield place.defect(f"its full shape is {parameter.full_shape}, not {full}", parameter.name)
    if parameter.shape != local:
        yield place.defect(f"its local shape is {parameter.shape}, not {local}", parameter.name)
    if sum(parameter.sides, ()) != parameter.dims:
        yield place.defect("the sides it is stored by are not its dimensions", parameter.name)


def _statement(scope: _Scope, statement: Statement, place: Place) -> Iterator[Defect]:
    unknown = [name for name in statement.inputs if name not in scope.known]
    scope.read.update(statement.inputs)
    for name in unknown:
        yield place.defect("a value is read before it is defined", name)
    if not unknown:
        match statement:
            case Compute():
                yield from _compute(scope, statement, place)
            case Collective():
                yield from _collective(scope, statement, place)
            case Region():
                yield from _region(scope, statement, place)
            case _:
                assert_never(statement)
    for value in statement.outputs:
        yield from scope.define(value, place)


def _compute(scope: _Scope, line: Compute, place: Place) -> Iterator[Defect]:
    """Dimensions and, on every atom, placements are those of the operator's own rule."""
    inputs = [scope.known[name] for name in line.inputs]
    dims = tuple(value.dims for value in inputs)
    try:
        made = line.operator.infer(dims)
    except (ValueError, IndexError) as error:
        yield place.defect(f"the operator does not take {dims}: {error}")
        return
    if made != tuple(value.dims for value in line.outputs):
        yield place.defect(f"the operator makes dimensions {made}", line.outputs[0].name)
        return
    made = line.operator.precisions(tuple(value.precision for value in inputs))
    if made != tuple(value.precision for value in line.outputs):
        yield place.defect(f"the operator makes it in precision {made}", line.outputs[0].name)
    yield from _beside(scope, line, dims, place)
    for atom in scope.atoms:
        rule = line.operator.rule(dims, tuple(value.layout.on(atom) for value in inputs))
        values, lies = (*inputs, *line.outputs), (*rule.inputs, *rule.outputs)
        for value, placement in zip(values, lies, strict=True):
            if value.layout.on(atom) != placement:
                found = value.layout.on(atom)
                yield place.defect(
                    f"on {atom} the operator's rule says {placement}, found {found}", value.name
                )


def _beside(
    scope: _Scope, line: Compute, dims: tuple[tuple[str, ...], ...], place: Place
) -> Iterator[Defect]:
    """What the operator keeps for itself is what its definition says."""
    wanted = [(extra.dims, extra.precision) for extra in line.operator.saves.beside(dims)]
    if wanted != [(value.dims, value.precision) for value in line.beside]:
        yield place.defect(f"the operator keeps {wanted} for itself", line.outputs[0].name)
    for value in line.beside:
        yield from _lies(scope, value, place)


def _collective(scope: _Scope, line: Collective, place: Place) -> Iterator[Defect]:
    """A pair moves one value over an axis or an atom, and leaves it on other atoms as it was."""
    if (dict(scope.mesh.axes).get(line.axis) or (line.axis,)) != line.atoms:
        yield place.defect(f"its atoms {line.atoms} are not those of axis {line.axis!r}")
    if any(atom not in scope.atoms for atom in line.atoms):
        yield place.defect(f"its group {line.atoms} goes across stages, which run other programs")
    if len(line.inputs) != 1 or len(line.outputs) != 1:
        yield place.defect(f"{line.pair} moves one value")
        return
    (read,), (made,) = [scope.known[name] for name in line.inputs], line.outputs
    if (read.dims, read.precision) != (made.dims, made.precision):
        what = f"it makes {made.dims} in {made.precision} of {read.dims} in {read.precision}"
        yield place.defect(what, made.name)
    for atom in scope.atoms:
        before, after = read.layout.on(atom), made.layout.on(atom)
        if atom not in line.atoms:
            if before != after:
                yield place.defect(f"it moves {atom} too: {before} -> {after}", made.name)
        elif (before, after) != _ends(line.pair, line.dim, line.to_dim):
            yield place.defect(f"{line.pair} is not {before} -> {after} on {atom}", made.name)


def _ends(pair: Pair, dim: str, to_dim: str) -> tuple[Placement, Placement]:
    """Placements before and after, on each atom of the group."""
    match pair:
        case "all_gather":
            return Shard(dim), R
        case "all_gather_invariant":
            return Shard(dim), I
        case "reduce_scatter":
            return Partial("sum"), Shard(dim)
        case "all_reduce_replicate":
            return Partial("sum"), R
        case "all_reduce":
            return Partial("sum"), I
        case "all_reduce_max":
            return Partial("max"), R
        case "all_to_all":
            return Shard(dim), Shard(to_dim)
        case "replicate":
            return I, R
        case "slice":
            return R, Shard(dim)
        case _:
            assert_never(pair)


def _region(scope: _Scope, region: Region, place: Place) -> Iterator[Defect]:
    """Pieces are equal; the body reads what it is given; outputs are sums over whole pieces."""
    if region.chunks < 1:
        yield place.defect(f"it has {region.chunks} pieces")
        return
    for name in region.sliced:
        value = scope.known[name]
        if region.dim not in value.dims or scope.local(value, region.dim) % region.chunks:
            what = f"it does not divide into {region.chunks} pieces along {region.dim}"
            yield place.defect(what, name)
    for name in region.whole:
        if region.dim in scope.known[name].dims:
            yield place.defect(f"it is passed whole, and is as long as {region.dim}", name)
    sizes = {**scope.sizes, region.dim: scope.sizes[region.dim] // region.chunks}
    given = {name: scope.known[name] for name in region.inputs}
    inner = _Scope(scope.mesh, scope.atoms, sizes, dict(given))
    for line in region.statements:
        yield from _statement(inner, line, place.at(line))
    for name in given:
        if name not in inner.read:
            yield place.defect("the body does not read it", name)
    for value in region.outputs:
        made = inner.known.get(value.name)
        if made is None or value.name in given or not _alike(made, value):
            yield place.defect("the body does not make it so", value.name)
        if region.dim in value.dims:
            yield place.defect(f"a sum over pieces keeps no {region.dim}", value.name)
    yield from _unread(inner, region.statements, {v.name for v in region.outputs}, place)
    for name in inner.known.keys() & scope.known.keys() - given.keys():
        yield place.defect("a value is defined twice", name)


def _handed_on(scope: _Scope, block: BlockProgram, place: Place) -> Iterator[Defect]:
    """The output and the losses are made; nothing is made in vain."""
    made = scope.known.get(block.output.name)
    if made is None or not _alike(made, block.output):
        yield place.defect("the block's output is not made so", block.output.name)
    for term in block.losses:
        name = term.value.name
        value = scope.known.get(name)
        if value is None or value.dims or not _alike(value, term.value):
            yield place.defect("a loss is not a number that the block makes", name)
    used = {block.output.name, *(term.value.name for term in block.losses)}
    yield from _unread(scope, block.statements, used, place)
    for parameter in block.parameters:
        if parameter.name not in scope.read:
            yield replace(place, origin=parameter.origin).defect("nothing reads it", parameter.name)


def _unread(
    scope: _Scope, statements: tuple[Statement, ...], used: set[str], place: Place
) -> Iterator[Defect]:
    for statement in statements:
        names = [value.name for value in statement.outputs]
        if not scope.read.intersection(names) and not used.intersection(names):
            yield place.at(statement).defect("nothing reads what it makes", names[0])


def _alike(one: LocalValue, other: LocalValue) -> bool:
    return (one.dims, one.layout, one.precision) == (other.dims, other.layout, other.precision)


def _local_sizes(scope: _Scope, block: BlockProgram, place: Place) -> Iterator[Defect]:
    """`local` has each dimension at the smallest size that a value of the block has."""
    if dict(block.local).keys() != block.sizes.keys():
        yield place.defect("its local sizes are not those of its dimensions")
    for dim, size in block.local:
        found = [scope.local(value, dim) for value in scope.known.values() if dim in value.dims]
        inner = (s.statements for s in block.statements if isinstance(s, Region))
        values = (value for lines in inner for line in lines for value in line.outputs)
        found += [scope.local(value, dim) for value in values if dim in value.dims]
        if found and min(found) != size:
            yield place.defect(f"the local size of {dim} is {size}, its values have {min(found)}")
