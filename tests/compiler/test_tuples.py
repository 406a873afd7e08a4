"""Several outputs and inputs, from builder to printed line, by operators that only tests have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch
from torch import Tensor

from backends.interpreter import graph as graphs
from backends.interpreter import ranks
from backends.interpreter.groups import Groups, cut
from backends.pytorch import lines
from backends.pytorch.names import Constants, Names
from compiler.components.builder import Builder
from compiler.dump import operator_text
from compiler.graph import Block, Component, Normal, Value
from compiler.local_sizes import saved_bytes
from compiler.lower.block import lower_block
from compiler.lower.keep import keep
from compiler.operators import Add, Linear, Operator
from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
from compiler.pairs import Pair
from compiler.placement import Placement, R, Shard
from compiler.plan import PhasePlan
from compiler.rank_program import BlockProgram, Collective, Compute, Kept, LocalValue
from tests.compiler.specs import planned

STREAM = ("batch", "seq", "d_model")


@dataclass(frozen=True)
class MeanAndRest(
    Definition,
    name="mean_and_rest",
    work=PerElement(2.0),
    outputs=("as input", "as input"),
    saves=Saves(outputs=(1,)),
):
    """x [..., d] -> mean [...], x - mean [..., d]"""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return inputs[0][:-1], inputs[0]

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        x = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((x,), (x, x))


@dataclass(frozen=True)
class Restore(
    Definition,
    name="restore",
    work=PerElement(1.0),
    outputs=("as input",),
    saves=Saves(),
):
    """rest [..., d], mean [...] -> rest + mean"""


OWN = cast("tuple[Operator, Operator]", (MeanAndRest(), Restore()))


def block() -> Block:
    """x + restore(mean_and_rest(W x))"""
    builder = Builder("layer", (Value("x", STREAM, "compute"),), Component("model.layer", "layer"))
    builder.dim("d_model", 64, "model.d_model")
    weight = builder.parameter("w", ("d_ff", "d_model"), Normal(0.02))
    builder.dim("d_ff", 96, "model.layer.ffn.d_ff")
    back = builder.parameter("w_back", ("d_model", "d_ff"), Normal(0.02))
    h = builder.apply("h", Linear(), "x", weight)
    h = builder.apply("h_out", Linear(), h, back)
    mean, rest = builder.apply_many(("mean", "rest"), OWN[0], h)
    whole = builder.apply("whole", OWN[1], rest, mean)
    return builder.finish(builder.apply("x_out", Add(), "x", whole))


def phase(tp: int = 2) -> PhasePlan:
    found = planned(("tp = 2", f"tp = {tp}")).plan
    assert found is not None
    return found.main


def meaning(apply: Callable[..., tuple[Tensor, ...]]) -> Callable[..., tuple[Tensor, ...]]:
    """The interpreter's table with the two operators of this file in it."""

    def extended(
        operator: object, dims: tuple[Dims, ...], inputs: tuple[Tensor, ...], first: Tensor
    ) -> tuple[Tensor, ...]:
        match operator:
            case MeanAndRest():
                mean = inputs[0].mean(-1)
                return mean, inputs[0] - mean.unsqueeze(-1)
            case Restore():
                return (inputs[0] + inputs[1].unsqueeze(-1),)
            case _:
                return apply(operator, dims, inputs, first)

    return extended


def compute(block: BlockProgram, output: str) -> Compute:
    (found,) = (s for s in block.statements if output in {value.name for value in s.outputs})
    assert isinstance(found, Compute)
    return found


def test_builder_and_graph_know_both_outputs() -> None:
    made = block()
    assert made.values()["mean"].dims == ("batch", "seq")
    assert made.values()["rest"].dims == STREAM


def test_both_outputs_are_lowered_and_one_is_saved() -> None:
    lowered = lower_block(block(), phase())
    split = compute(lowered, "rest")
    assert [(value.name, str(value.layout)) for value in split.outputs] == [
        ("mean", "shard S(batch) tp S(seq)"),
        ("rest", "shard S(batch) tp S(seq)"),
    ]
    assert [value.kept for value in split.outputs] == [Kept.DROPPED, Kept.SAVED]


def test_a_saved_output_costs_its_own_bytes() -> None:
    """x and rest [1, 16 / 2, 64] and the first product [1, 16, 96 / 2]; x is gathered again."""
    assert saved_bytes(lower_block(block(), phase()), phase()) == 2 * (2 * 8 * 64 + 16 * 48)


def test_ranks_compute_what_the_graph_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ranks, graphs):
        monkeypatch.setattr(module, "apply", meaning(module.apply))
    made, own = block(), phase()
    lowered = lower_block(made, own)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(4, 16, 64, dtype=torch.float64, generator=draw)
    weights = {
        name: torch.randn(shape, dtype=torch.float64, generator=draw)
        for name, shape in {"w": (96, 64), "w_back": (64, 96)}.items()
    }
    whole = graphs.run_block(made, {"x": x} | weights)["x_out"]
    mesh = own.mesh
    held = {p.name: cut(mesh, p.layout, p.dims, weights[p.name]) for p in lowered.parameters}
    where = lowered.inputs[0]
    inputs = {"x": cut(mesh, where.layout, where.dims, x)}
    found = ranks.run_block(mesh, lowered, {"batch": 4, "seq": 16}, inputs, held)["x_out"]
    out = lowered.output
    torch.testing.assert_close(found, cut(mesh, out.layout, out.dims, whole))


@pytest.mark.parametrize("marks", [False, True])
def test_several_outputs_are_one_line(marks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "expression", lambda operator, call: f"split({call.texts()})")
    lowered = lower_block(block(), phase())
    split = compute(lowered, "rest")
    scope = lines.Scope(phase().mesh, Names(Constants(), ()), {}, marks=marks)
    for statement in lowered.statements:
        for value in statement.outputs:
            scope.know(value, value.name)
    printed = lines.assignment(split, scope)
    assert printed[0].startswith(f"mean, rest = split({split.inputs[0]})  # [batch, seq / tp], ")
    assert printed[1:] == (["rest = save(rest)"] if marks else [])


def test_a_collective_may_read_and_make_two_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and how many of them count, both gathered: found again where the backward reads them."""
    own = phase()
    lowered = lower_block(block(), own)
    gather = next(s for s in lowered.statements if isinstance(s, Collective))
    (rows,) = gather.outputs
    counts = LocalValue(
        "counts_gathered", ("batch", "seq"), rows.layout, "accumulate", Kept.DROPPED
    )
    both = replace(gather, outputs=(rows, counts), inputs=(*gather.inputs, "counts"))

    (marked, *_), _ = keep((both, *lowered.statements[1:]), lowered.inputs, "none")
    assert isinstance(marked, Collective)
    assert [value.kept for value in marked.outputs] == [Kept.REGATHERED, Kept.DROPPED]

    def moved(
        pair: Pair, inputs: tuple[Tensor, ...], groups: Groups, *dims: int
    ) -> tuple[Tensor, ...]:
        return tuple(ranks_moved(pair, (x,), groups, *dims)[0] for x in inputs)

    ranks_moved = ranks.collective
    monkeypatch.setattr(ranks, "collective", moved)
    where = lowered.inputs[0].layout
    side = LocalValue("counts", ("batch", "seq"), where, "compute", Kept.DROPPED)
    exchange = replace(
        lowered, inputs=(*lowered.inputs, side), parameters=(), statements=(both,), output=rows
    )
    x = torch.arange(4.0 * 16).reshape(4, 16, 1).expand(4, 16, 64).double()
    inputs = {
        "x": cut(own.mesh, where, STREAM, x),
        "counts": cut(own.mesh, where, ("batch", "seq"), x[..., 0]),
    }
    found = ranks.run_block(own.mesh, exchange, {"batch": 4, "seq": 16}, inputs, {})
    assert torch.equal(found["counts_gathered"], found[rows.name][..., 0])


def test_an_operator_is_named_as_any_other() -> None:
    assert operator_text(OWN[0]) == "mean_and_rest"
