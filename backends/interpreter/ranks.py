"""A block program, interpreted on all ranks of a mesh at once: every value is [ranks, ...]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backends.interpreter.checks import check
from backends.interpreter.collectives import collective
from backends.interpreter.groups import first_index, groups_over
from backends.interpreter.meaning import apply, vocabulary_input
from compiler.mesh import Mesh
from compiler.rank_program import (
    BlockProgram,
    Collective,
    Compute,
    Kept,
    LocalValue,
    Region,
    Statement,
)


@dataclass
class Frame:
    """What is known while one block, or one piece of a region, runs.

    sizes   full size of every dimension, batch and seq included
    """

    mesh: Mesh
    sizes: Mapping[str, int]
    values: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    described: dict[str, LocalValue] = field(default_factory=dict[str, LocalValue])

    def define(self, value: LocalValue, tensor: Tensor) -> None:
        check(self.mesh, self.sizes, value, tensor)
        self.values[value.name], self.described[value.name] = tensor, value


def run_block(
    mesh: Mesh,
    block: BlockProgram,
    sizes: Mapping[str, int],
    inputs: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Every value of the block that is visible outside its regions, by name.

    sizes     full batch and seq of this forward
    inputs    by the block's names, weights by local name; all [ranks, ...local shape]
    """
    frame = Frame(mesh, block.sizes | dict(sizes))
    for value in block.inputs:
        frame.define(value, inputs[value.name])
    for parameter in block.parameters:
        held = LocalValue(parameter.name, parameter.dims, parameter.layout, "compute", Kept.SAVED)
        frame.define(held, weights[parameter.name])
    for statement in block.statements:
        _execute(frame, statement)
    return frame.values


def _execute(frame: Frame, statement: Statement) -> None:
    match statement:
        case Compute():
            made = _compute(frame, statement)
        case Collective():
            made = _collective(frame, statement)
        case Region():
            made = _region(frame, statement)
    for value, tensor in zip(statement.outputs, made, strict=True):
        frame.define(value, tensor)


def _compute(frame: Frame, statement: Compute) -> tuple[Tensor, ...]:
    operator = statement.operator
    described = tuple(frame.described[name] for name in statement.inputs)
    tensors = tuple(frame.values[name] for name in statement.inputs)
    first = torch.zeros(frame.mesh.world, dtype=torch.long)
    looked_up = vocabulary_input(operator)
    if looked_up is not None:
        value, tensor = described[looked_up[0]], tensors[looked_up[0]]
        axis = looked_up[1] % len(value.dims)
        first = first_index(frame.mesh, value.layout, value.dims[axis], tensor.shape[1 + axis])
    return apply(operator, tuple(value.dims for value in described), tensors, first)


def _collective(frame: Frame, statement: Collective) -> tuple[Tensor, ...]:
    dims = frame.described[statement.inputs[0]].dims
    named = (dim for dim in (statement.dim, statement.to_dim) if dim)
    groups = groups_over(frame.mesh, statement.atoms)
    tensors = tuple(frame.values[name] for name in statement.inputs)
    return collective(statement.pair, tensors, groups, *(1 + dims.index(dim) for dim in named))


def _region(frame: Frame, region: Region) -> tuple[Tensor, ...]:
    """The sum of each output over equal pieces along the region's dimension."""
    pieces = {name: _pieces(frame, region, name) for name in region.sliced}
    sizes = dict(frame.sizes) | {region.dim: frame.sizes[region.dim] // region.chunks}
    found: list[tuple[Tensor, ...]] = []
    for index in range(region.chunks):
        piece = Frame(frame.mesh, sizes)
        for name in region.sliced:
            piece.define(frame.described[name], pieces[name][index])
        for name in region.whole:
            piece.values[name] = frame.values[name]
            piece.described[name] = frame.described[name]
        for line in region.statements:
            _execute(piece, line)
        found.append(tuple(piece.values[value.name] for value in region.outputs))
    return tuple(torch.stack(parts).sum(0) for parts in zip(*found, strict=True))


def _pieces(frame: Frame, region: Region, name: str) -> tuple[Tensor, ...]:
    axis = 1 + frame.described[name].dims.index(region.dim)
    return frame.values[name].tensor_split(region.chunks, axis)
