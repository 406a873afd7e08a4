"""A ModelGraph, interpreted: full parameters and a global batch -> loss, gradients, norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from backends.interpreter.batch import Batch
from backends.interpreter.meaning import apply
from compiler.graph import Block, ModelGraph, Normaliser

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """One step before clipping. Gradients by full name."""

    loss: Tensor
    gradients: dict[str, Tensor]
    norm: Tensor


def parameter_shapes(graph: ModelGraph) -> dict[str, tuple[int, ...]]:
    """Full name -> full shape of everything that has storage of its own."""
    return {
        instance.full_name(parameter): tuple(instance.block.size(dim) for dim in parameter.dims)
        for instance in graph.instances()
        for parameter in instance.block.parameters
        if not parameter.tied_to
    }


def step(graph: ModelGraph, parameters: Parameters, batch: Batch) -> Outcome:
    watched = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    sums = loss_sums(graph, watched, batch)
    loss = torch.stack([total / _count(batch, of) for of, total in sums.items()]).sum()
    found = torch.autograd.grad(loss, list(watched.values()))
    squares = torch.stack([gradient.square().sum() for gradient in found])
    return Outcome(loss.detach(), dict(zip(watched, found, strict=True)), squares.sum().sqrt())


def _count(batch: Batch, normaliser: Normaliser) -> Tensor | int:
    match normaliser:
        case "valid tokens":
            return (batch.targets >= 0).sum()
        case "sequences":
            return len(batch.tokens)
        case "step":
            return 1
        case _:
            assert_never(normaliser)


def loss_sums(graph: ModelGraph, parameters: Parameters, batch: Batch) -> dict[Normaliser, Tensor]:
    """The sum of the loss terms of every block over the batch, by normaliser; scalars."""
    side = batch.named()
    stream = batch.tokens
    sums: dict[Normaliser, Tensor] = {}
    for instance in graph.instances():
        block = instance.block
        inputs = {value.name: side[value.name] for value in block.inputs[1:]}
        inputs[block.inputs[0].name] = stream
        weights = {p.name: parameters[instance.full_name(p)] for p in block.parameters}
        values = run_block(block, inputs | weights)
        stream = values[block.outputs[0]]
        for term in block.losses:
            value = values[term.value]
            sums[term.normaliser] = sums.get(term.normaliser, torch.zeros_like(value)) + value
    return sums


def run_block(block: Block, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every value of the block, as one rank of one."""
    dims = {name: value.dims for name, value in block.values().items()}
    values = {name: value.unsqueeze(0) for name, value in inputs.items()}
    first = torch.zeros(1, dtype=torch.long)
    for node in block.nodes:
        read = tuple(values[name] for name in node.inputs)
        made = apply(node.operator, tuple(dims[name] for name in node.inputs), read, first)
        values |= {value.name: x for value, x in zip(node.outputs, made, strict=True)}
    return {name: value.squeeze(0) for name, value in values.items()}
