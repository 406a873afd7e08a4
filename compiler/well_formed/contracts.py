"""Each parameter has one owner, and one contract for each thing that is done to it per step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from compiler.graph import Component
from compiler.internal_error import Defect
from compiler.placement import Replicate, Shard
from compiler.rank_program import (
    Fsdp,
    GradientSum,
    LocalParameter,
    NormGroup,
    RankProgram,
    RowUpdate,
)
from compiler.well_formed.place import Place

Atoms = tuple[str, ...]


@dataclass(frozen=True)
class _Owned:
    """A parameter with storage of its own; `name` is `block/local name`."""

    name: str
    block: str
    parameter: LocalParameter

    def defect(self, what: str) -> Defect:
        return Defect(what, self.block, "", self.name, self.parameter.origin)


def contract_defects(program: RankProgram) -> Iterator[Defect]:
    """Of all parameters, and of the contracts that name them."""
    owned = {
        f"{block.name}/{parameter.name}": _Owned(
            f"{block.name}/{parameter.name}", block.name, parameter
        )
        for block in program.blocks
        for parameter in block.parameters
        if not parameter.tied_to
    }
    yield from _unknown(program, owned)
    yield from _data_atoms(program)
    yield from _ties(program, owned)
    for one in owned.values():
        yield from _reductions(program, one)
        yield from _norm(program, one)
        yield from _update(program, one)


def _unknown(program: RankProgram, owned: Mapping[str, _Owned]) -> Iterator[Defect]:
    """Contracts name parameters and blocks that there are, and groups over atoms of the mesh."""
    step = program.step
    groups = (
        *program.contracts,
        *step.gradient_sums,
        *step.tied_sums,
        *step.norm,
        *step.row_updates,
    )
    for group in groups:
        atoms = group.data if isinstance(group, Fsdp) else group.atoms
        place = Place("step", f"{type(group).__name__}({', '.join(atoms)})")
        for name in group.parameters:
            if name not in owned:
                yield place.defect("no block owns a parameter of this name", name)
        yield from _distinct(program, atoms, place)
    axes = dict(program.mesh.axes)
    for total in step.gradient_sums:
        parts = axes.get(total.axis)
        if parts != total.atoms if parts else total.axis != "_".join(total.atoms):
            yield Place("step").defect(f"the atoms of {total.axis} are not {total.atoms}")


def _distinct(program: RankProgram, atoms: Atoms, place: Place) -> Iterator[Defect]:
    known = {atom.name for atom in program.mesh.atoms}
    if len(set(atoms)) < len(atoms) or not known.issuperset(atoms):
        yield place.defect(f"{atoms} is no group of the mesh")


def _data_atoms(program: RankProgram) -> Iterator[Defect]:
    """Tokens are counted where gradients of the parameters that all ranks hold are reduced."""
    counted = program.step.count_over
    if not any(set(node.data) == set(counted) for node in program.contracts):
        yield Place("step").defect(f"no contract reduces over {counted}, where tokens are counted")
    for node in program.contracts:
        place = Place("Fsdp")
        if node.sharding in ("none", "zero1") and node.shard:
            yield place.defect(f"{node.sharding} cuts no parameters, and {node.shard} does")
        is_cut_often = node.sharding == "zero3"
        if (node.reshard_after_forward, node.when == "every microbatch") != (is_cut_often,) * 2:
            yield place.defect(f"{node.sharding} does not reduce or reshard so")


def _ties(program: RankProgram, owned: Mapping[str, _Owned]) -> Iterator[Defect]:
    """A tied parameter has one owner, in the embedding, and lies as it does; where stages part
    the two, its gradients are summed, once."""
    embedding = program.embedding.name
    tied: dict[str, Component] = {}
    for block in program.blocks:
        for parameter in block.parameters:
            if parameter.tied_to:
                place = Place(block.name, origin=parameter.origin)
                name = parameter.tied_to.replace(".", "/", 1)
                tied[name] = parameter.origin
                owner = owned.get(name)
                if owner is None or owner.block != embedding:
                    yield place.defect(f"no block owns {parameter.tied_to}", parameter.name)
                elif _held(owner.parameter) != _held(parameter):
                    yield place.defect(f"it does not lie as {parameter.tied_to}", parameter.name)
    stages = program.mesh.axis("pp")
    summed = Counter(name for total in program.step.tied_sums for name in total.parameters)
    for name in {*summed, *tied}:
        if summed[name] != (name in tied and bool(stages)):
            what = f"its gradients are summed {summed[name]} times over first and last stage"
            yield Defect(what, embedding, "", name, tied.get(name))
    for total in program.step.tied_sums:
        if total.atoms != stages:
            yield Place("step").defect(f"tied gradients are summed over {total.atoms}")


def _held(parameter: LocalParameter) -> tuple[object, ...]:
    return parameter.dims, parameter.shape, parameter.layout, parameter.gradient_sums


def _reductions(program: RankProgram, one: _Owned) -> Iterator[Defect]:
    """On every atom a parameter is cut, or its gradient is reduced, in exactly one way."""
    parameter = one.parameter
    named = [node for node in program.contracts for name in node.parameters if name == one.name]
    if len(named) != 1:
        yield one.defect(f"{len(named)} contracts of FSDP name it")
        return
    (node,) = named
    listed = _naming(one.name, program.step.gradient_sums)
    if listed != ([parameter.gradient_sums] if parameter.gradient_sums else []):
        what = f"its gradient is summed over {listed}, and owed over {parameter.gradient_sums}"
        yield one.defect(what)
    stages = program.mesh.axis("pp")
    for atom in (atom.name for atom in program.mesh.atoms):
        placement = parameter.layout.on(atom)
        if not isinstance(placement, Shard | Replicate):
            yield one.defect(f"a parameter cannot be {placement} on {atom}")
        ways = (
            atom in stages,
            atom in node.data,
            isinstance(placement, Shard),
            atom in parameter.gradient_sums,
        )
        if sum(ways) != 1:
            yield one.defect(f"{sum(ways)} contracts say what its gradient is on {atom}")


def _norm(program: RankProgram, one: _Owned) -> Iterator[Defect]:
    """Its squares are counted once, over the atoms that cut it: its own, FSDP's, and stages."""
    wanted = {*one.parameter.layout.sharding_atoms(), *program.mesh.axis("pp")}
    for node in program.contracts:
        wanted.update(node.shard if one.name in node.parameters else ())
    found = _naming(one.name, program.step.norm)
    if len(found) != 1:
        yield one.defect(f"{len(found)} groups of the norm count it")
    elif set(found[0]) != wanted:
        yield one.defect(f"its squares are summed over {found[0]}, and {sorted(wanted)} cut it")


def _update(program: RankProgram, one: _Owned) -> Iterator[Defect]:
    """Where ranks share its state and hold it whole, they exchange the rows that each updates."""
    found = _naming(one.name, program.step.row_updates)
    for node in program.contracts:
        if one.name in node.parameters:
            if found != ([node.copy] if node.copy != node.shard else []):
                yield one.defect(f"its updated rows are gathered over {found}, not {node.copy}")
            if node.copy != node.shard and not set(node.copy) <= set(node.replicate):
                yield one.defect(f"{node.copy} share its state, and not all of them hold it")


def _naming(name: str, groups: Iterable[GradientSum | NormGroup | RowUpdate]) -> list[Atoms]:
    """Atoms of the groups that list a name, once for each time."""
    return [group.atoms for group in groups for other in group.parameters if other == name]
