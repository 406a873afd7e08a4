"""The step program, interpreted: parameters as the ranks hold them -> loss, gradients, norm.

The delegated nodes mean what their contracts say, no more: gradients of a parameter that no `Fsdp`
names are not reduced, a norm group that leaves out an atom leaves those squares out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.interpreter.batch import Batch
from backends.interpreter.groups import cut, groups_over, sum_over
from backends.interpreter.pipeline import arrived, kept_on, over_ends
from backends.interpreter.ranks import run_block
from compiler.graph import Normaliser
from compiler.mesh import Mesh
from compiler.rank_program import (
    BlockProgram,
    Fsdp,
    LocalLoss,
    LocalParameter,
    Pipeline,
    RankProgram,
)

Shards = Mapping[str, Tensor]
"""By full name: [ranks, ...local shape], cut over tensor atoms, whole on data atoms."""


@dataclass(frozen=True)
class Outcome:
    """What every rank has after the reductions and before clipping.

    loss, norm  [ranks]
    gradients   like the parameters; FSDP keeps of them the rows of `own_rows`
    """

    loss: Tensor
    gradients: dict[str, Tensor]
    norm: Tensor


@dataclass(frozen=True)
class Use:
    """One use of a block in the model."""

    block: BlockProgram
    prefix: str

    def full_name(self, parameter: LocalParameter) -> str:
        return parameter.tied_to or self.prefix + parameter.name


def uses(program: RankProgram) -> Iterator[Use]:
    """embedding, each layer, head; names as in the model graph."""
    yield Use(program.embedding, "embedding.")
    for index, kind in enumerate(program.layers):
        yield Use(program.kinds[kind], f"layers.{index}.")
    yield Use(program.head, "")


def staged(program: RankProgram) -> Iterator[tuple[int, Use]]:
    """Every use with the virtual stage it runs on: 0 throughout where there is no pipeline."""
    layers = next((n.stages for n in program.delegated if isinstance(n, Pipeline)), None)
    last = len(layers) - 1 if layers else 0
    of_layer = [stage for stage, count in enumerate(layers or ()) for _ in range(count)]
    of_layer = of_layer or [0] * len(program.layers)
    yield from zip([0, *of_layer, last], uses(program), strict=True)


def owners(program: RankProgram) -> Iterator[tuple[str, str, Use, LocalParameter]]:
    """(full name, `block/local name`, use, parameter) of everything with storage of its own."""
    for use in uses(program):
        for parameter in use.block.parameters:
            if not parameter.tied_to:
                entry = f"{use.block.name}/{parameter.name}"
                yield use.full_name(parameter), entry, use, parameter


def shard_parameters(program: RankProgram, full: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: cut(program.mesh, parameter.layout, parameter.dims, full[name])
        for name, _, _, parameter in owners(program)
    }


def owner_stages(program: RankProgram) -> dict[str, int]:
    """The virtual stage that owns each parameter, by full name."""
    return {
        use.full_name(parameter): stage
        for stage, use in staged(program)
        for parameter in use.block.parameters
        if not parameter.tied_to
    }


def held_on(program: RankProgram, name: str) -> tuple[int, ...]:
    """The virtual stages that hold a parameter, by its full name: of a tied one, both."""
    found = (
        stage
        for stage, use in staged(program)
        for parameter in use.block.parameters
        if use.full_name(parameter) == name
    )
    return tuple(dict.fromkeys(found))


def step(program: RankProgram, parameters: Shards, batch: Batch) -> Outcome:
    mesh, plan = program.mesh, program.step
    watched = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    parts = [batch.microbatch(index, plan.microbatches) for index in range(plan.microbatches)]
    valid = torch.stack([_valid(program, part) for part in parts]).sum(0)
    gradients = {name: torch.zeros_like(value) for name, value in watched.items()}
    loss = torch.zeros(mesh.world, dtype=torch.float64)
    counts: dict[Normaliser, Tensor | int] = {
        "valid tokens": valid,
        "sequences": len(batch.tokens),
        "step": plan.microbatches,
    }
    for part in parts:
        terms = [
            (term, value / counts[term.normaliser] / term.shares(mesh))
            for term, value in forward(program, watched, part)
        ]
        # Every rank differentiates its own loss; collectives carry gradients between ranks.
        own = torch.stack([value for _, value in terms]).sum()
        found = torch.autograd.grad(own, list(watched.values()), materialize_grads=True)
        for term, value in terms:
            loss = loss + sum_over(mesh, term.summed(mesh), value.detach())
        for name, gradient in zip(watched, found, strict=True):
            gradients[name] += gradient
    gradients = _reduced(program, gradients)
    return Outcome(loss, gradients, _norm(program, gradients))


def forward(
    program: RankProgram, parameters: Shards, part: Batch
) -> list[tuple[LocalLoss, Tensor]]:
    """Each loss term of one microbatch with what each rank has of it, [ranks].

    A stage's ranks hold its output; all others hold zeros, and so do their gradients.
    """
    mesh, side = program.mesh, part.named()
    rows, seq = part.tokens.shape
    terms: list[tuple[LocalLoss, Tensor]] = []
    stream: Tensor | None = None
    for stage, use in staged(program):
        block = use.block
        inputs = {
            value.name: cut(mesh, value.layout, value.dims, side[value.name])
            for value in block.inputs
            if value.name in side
        }
        if stream is not None:
            inputs[block.inputs[0].name] = arrived(mesh, stream, stage)
        weights = {p.name: parameters[use.full_name(p)] for p in block.parameters}
        values = run_block(mesh, block, {"batch": rows, "seq": seq}, inputs, weights)
        stream = kept_on(mesh, values[block.output.name], stage)
        for term in block.losses:
            terms.append((term, kept_on(mesh, values[term.value.name], stage)))
    return terms


def _valid(program: RankProgram, part: Batch) -> Tensor:
    """[ranks]: valid targets of the microbatch, as far as `count_over` counts them."""
    where = next(value for value in program.head.inputs if value.name == "targets")
    targets = cut(program.mesh, where.layout, where.dims, part.targets)
    return sum_over(program.mesh, program.step.count_over, (targets >= 0).flatten(1).sum(1))


def _reduced(program: RankProgram, gradients: Shards) -> dict[str, Tensor]:
    """The contract of FSDP, then the gradient sums."""
    reduced = dict(gradients)
    for name, entry, _, _ in owners(program):
        for tied in program.step.tied_sums:
            if entry in tied.parameters:
                reduced[name] = over_ends(program.mesh, tied.atoms, reduced[name])
        for contract in _contracts(program, entry):
            reduced[name] = sum_over(program.mesh, contract.data, reduced[name])
        for owed in program.step.gradient_sums:
            if entry in owed.parameters:
                reduced[name] = sum_over(program.mesh, owed.atoms, reduced[name])
    return reduced


def _contracts(program: RankProgram, entry: str) -> tuple[Fsdp, ...]:
    """Those that name a parameter: one in a right program, none or several in a wrong one."""
    return tuple(node for node in program.contracts if entry in node.parameters)


def own_rows(mesh: Mesh, shard: tuple[str, ...], rows: int) -> Tensor:
    """[ranks, rows]: the rows (first dimension) that FSDP leaves on each rank, by equal chunks
    rounded up, the last ones shorter or empty."""
    if not shard:
        return torch.ones(mesh.world, rows, dtype=torch.bool)
    groups = groups_over(mesh, shard)
    chunk = -(-rows // groups.size)
    return (torch.arange(rows) // chunk) == groups.position[:, None]


def _norm(program: RankProgram, gradients: Shards) -> Tensor:
    """[ranks]: root of the local squares, each summed over the atoms of its norm group."""
    mesh = program.mesh
    total = torch.zeros(mesh.world, dtype=torch.float64)
    stage_of = owner_stages(program)
    for name, entry, _, _ in owners(program):
        gradient = gradients[name]
        shard = tuple(atom for node in _contracts(program, entry) for atom in node.shard)
        rows = own_rows(mesh, shard, gradient.shape[1])
        squares = gradient.square().flatten(2).sum(2) if gradient.dim() > 2 else gradient.square()
        local = kept_on(mesh, (squares * rows).sum(1), stage_of[name])
        for group in program.step.norm:
            if entry in group.parameters:
                total = total + sum_over(mesh, group.atoms, local)
    return total.sqrt()
