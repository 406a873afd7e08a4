"""lower_block: walk a block's operators, bring each input to the placement its rule asks for."""

from __future__ import annotations

from dataclasses import replace

from compiler.components.builder import KEY_INPUTS
from compiler.graph import Block, Node, Parameter, Value, apply_operator
from compiler.lower.keep import keep
from compiler.lower.walk import Walk
from compiler.operators import as_operator
from compiler.operators.rule import Dims
from compiler.placement import Layout, Partial, Placement, Replicate, Shard, layout
from compiler.plan import PhasePlan, Recompute
from compiler.rank_program import (
    BlockProgram,
    Compute,
    Kept,
    LocalLoss,
    LocalParameter,
    LocalValue,
    local_size,
)


def lower_block(block: Block, phase: PhasePlan, recompute: Recompute = "none") -> BlockProgram:
    """The block on one rank; its output lies as the residual stream, or is the loss."""
    walk = Walk(phase, block, block.nodes[0].origin)
    inputs = tuple(_input(walk, value) for value in block.inputs)
    for parameter in block.parameters:
        walk.define(parameter.value, _cut(phase, parameter.dims))
    region = ""
    for node in block.nodes:
        walk.origin = node.origin
        if region and node.region != region:
            walk.close_region(region)
        if node.region and node.region != region:
            walk.open_region()
        region = node.region
        for lowered in _expanded(walk, node):
            _apply(walk, lowered)
    if region:
        walk.close_region(region)
    output = block.outputs[0]
    if output not in {term.value for term in block.losses}:
        output = walk.bring(output, _cut(phase, walk.values[output].dims))
    statements, inputs = keep(tuple(walk.statements), inputs, recompute)
    return BlockProgram(
        block.name,
        inputs,
        tuple(_parameter(walk, parameter) for parameter in block.parameters),
        statements,
        walk.values[output],
        block.dimensions,
        tuple((dim, local_size(n, phase.cut(dim), phase.mesh)) for dim, n in block.sizes.items()),
        tuple(LocalLoss(walk.values[t.value], t.normaliser) for t in block.losses),
    )


def _cut(phase: PhasePlan, dims: tuple[str, ...]) -> Layout:
    """The layout in which every dimension is cut as the plan says."""
    placements: dict[str, Placement] = {atom: Shard(dim) for dim in dims for atom in phase.cut(dim)}
    return layout(phase.mesh, placements)


def _input(walk: Walk, value: Value) -> LocalValue:
    """The residual stream comes in cut as planned. Side inputs are data: whole on the tensor
    axis, cut with the batch and, unless they describe all keys, with the context."""
    where = _cut(walk.phase, value.dims)
    if value.precision == "index":
        axes = ("dp",) if value.name in KEY_INPUTS else ("dp", "cp")
        data = {atom for axis in axes for atom in walk.mesh.axis(axis)}
        where = Layout(tuple(entry for entry in where.entries if entry[0] in data))
    return walk.define(value, where)


def _expanded(walk: Walk, node: Node) -> tuple[Node, ...]:
    """The operators that a cut dimension splits this one into; itself where none does."""
    read = [walk.values[name] for name in node.inputs]
    dims = tuple(value.dims for value in read)
    cut = tuple(dim for dim in dims[0] if read[0].layout.cuts(dim))
    known = {value.name: value.value for value in read}
    outputs = tuple(value.name for value in node.outputs)
    nodes: list[Node] = []
    for step in node.operator.expand(outputs, node.inputs, dims, cut):
        inputs = tuple(known[name] for name in step.inputs)
        operator = as_operator(step.operator)
        nodes.append(apply_operator(operator, step.outputs, inputs, node.origin, node.region))
        known |= {value.name: value for value in nodes[-1].outputs}
    return tuple(nodes) or (node,)


def _apply(walk: Walk, node: Node) -> None:
    """Ask the operator's rule atom by atom, move the inputs, write the line."""
    dims = tuple(walk.values[name].dims for name in node.inputs)
    layouts = tuple(walk.values[name].layout for name in node.inputs)
    wanted: list[dict[str, Placement]] = [{} for _ in node.inputs]
    made: list[dict[str, Placement]] = [{} for _ in node.outputs]
    for atom in walk.mesh.tensor_atoms:
        rule = node.operator.rule(dims, tuple(where.on(atom) for where in layouts))
        for target, placement in zip(wanted, rule.inputs, strict=True):
            target[atom] = placement
        for target, placement in zip(made, rule.outputs, strict=True):
            target[atom] = placement
    asked = tuple(
        _completed(walk, name, layout(walk.mesh, target))
        for name, target in zip(node.inputs, wanted, strict=True)
    )
    inputs = tuple(walk.bring(name, want) for name, want in zip(node.inputs, asked, strict=True))
    if inputs != node.inputs:
        _apply(walk, replace(node, inputs=inputs))  # the rule may answer otherwise from here
        return
    outputs = tuple(
        walk.define(value, layout(walk.mesh, target))
        for value, target in zip(node.outputs, made, strict=True)
    )
    beside = _beside(walk, node, outputs, dims)
    walk.compute(Compute(outputs, node.operator, inputs, node.origin, beside))


def _beside(
    walk: Walk, node: Node, outputs: tuple[LocalValue, ...], dims: tuple[Dims, ...]
) -> tuple[LocalValue, ...]:
    """What the operator keeps for itself, each dimension cut as it is in an output or an input."""
    lies = [value.layout for value in outputs] + [walk.values[name].layout for name in node.inputs]
    found: list[LocalValue] = []
    for extra in node.operator.saves.beside(dims):
        cuts: dict[str, Placement] = {
            atom: Shard(dim)
            for dim in extra.dims
            for atom in next((where.cuts(dim) for where in lies if where.cuts(dim)), ())
        }
        name = f"{outputs[0].name}.{extra.name}"
        where = layout(walk.mesh, cuts)
        found.append(LocalValue(name, extra.dims, where, extra.precision, Kept.DROPPED))
    return tuple(found)


def _completed(walk: Walk, name: str, want: Layout) -> Layout:
    """A pending sum that is asked for whole is completed as the residual stream lies: by one
    reduce-scatter, and the operator is asked again."""
    have = walk.values[name].layout
    stream = _cut(walk.phase, walk.values[name].dims)
    placements: dict[str, Placement] = {
        atom: stream.on(atom)
        if have.on(atom) == Partial("sum") and isinstance(want.on(atom), Replicate)
        else want.on(atom)
        for atom in walk.mesh.tensor_atoms
    }
    return walk.asked(name, layout(walk.mesh, placements))


def _parameter(walk: Walk, parameter: Parameter) -> LocalParameter:
    """A weight R on an atom meets different tensors on its ranks, so its gradient is P there
    (norms meet S(seq) or S(heads), copies of key/value heads different query heads). FSDP reduces
    it over the data atoms of its contract; the sum over the rest is owed once per step."""
    where, mesh = walk.values[parameter.name].layout, walk.mesh
    full = tuple(walk.block.size(dim) for dim in parameter.dims)
    reduced = {*where.sharding_atoms(), *walk.phase.group(parameter.dims).data}
    return LocalParameter(
        parameter.name,
        parameter.dims,
        parameter.sides,
        tuple(
            local_size(size, where.cuts(dim), mesh)
            for dim, size in zip(parameter.dims, full, strict=True)
        ),
        full,
        where,
        tuple(atom for atom in mesh.tensor_atoms if atom not in reduced),
        parameter.init,
        parameter.decays,
        parameter.origin,
        parameter.tied_to,
    )
