"""The lowering law where the forms have more than today's models use: loss terms on any block,
several groups of parameters, axes that share atoms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from backends.interpreter import graph as graphs
from backends.interpreter import ranks
from backends.pytorch.features import features_of
from backends.pytorch.unprinted import NotPrinted, check_printed
from compiler.graph import Block, LossTerm, ModelGraph, Node, Normal, Parameter, apply_operator
from compiler.lower import lower
from compiler.lower.moves import moves
from compiler.memory import memory
from compiler.mesh import Atom, Mesh
from compiler.operators import Linear, Operator
from compiler.operators.rule import Definition, Dims, PerElement, Rule, Saves
from compiler.placement import I, Layout, Partial, Placement, R, Shard, layout
from compiler.plan import PhasePlan, StateGroup
from compiler.rank_program import Collective, LocalLoss, RankProgram
from compiler.stages import stages
from compiler.traffic import totals, traffic
from tests.compiler.specs import planned
from tests.properties.cases import Case, cases, made, weights
from tests.properties.law import differences
from tests.properties.test_lowering_faults import hybrid
from tests.strategies import EVERY_RANKS, USUAL_WORLD, plan_specs


@dataclass(frozen=True)
class SquareSum(
    Definition,
    name="square_sum",
    work=PerElement(2.0),
    outputs=("accumulate",),
    saves=Saves(inputs=(0,)),
):
    """The sum of the squares of all elements; a scalar."""

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        return ((),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        (x,) = placements
        if isinstance(x, Shard):
            return Rule((x,), (Partial(),))
        return Rule((x,), (x,)) if x == I else Rule((R,), (R,))


SQUARE_SUM = cast("Operator", SquareSum())


@pytest.fixture(autouse=True, scope="module")
def _square_sum_has_a_meaning() -> object:  # pyright: ignore[reportUnusedFunction]
    """The interpreter's table, with the operator of this file in it."""
    apply = ranks.apply

    def extended(
        operator: Operator, dims: tuple[Dims, ...], inputs: tuple[Tensor, ...], first: Tensor
    ) -> tuple[Tensor, ...]:
        if isinstance(operator, SquareSum):
            return (inputs[0].square().flatten(1).sum(1),)
        return apply(operator, dims, inputs, first)

    with pytest.MonkeyPatch.context() as patch:
        for module in (ranks, graphs):
            patch.setattr(module, "apply", extended)
        yield


# Loss terms.


def with_losses(block: Block) -> Block:
    """The block with three more losses: squares of a projection that tp cuts, per valid token, of
    one that it does not, per sequence, and of a weight, once per step."""
    stream = block.values()[block.outputs[0]]
    added: list[Parameter] = []
    nodes: list[Node] = []
    origin = block.nodes[0].origin
    for name, dims in (("aux.cut", ("d_ff", "d_model")), ("aux.whole", ("head_dim", "d_model"))):
        weight = Parameter(name, dims, ((dims[0],), (dims[1],)), Normal(0.3), origin)
        added.append(weight)
        made = f"projection.{name}"
        nodes.append(apply_operator(Linear(), (made,), (stream, weight.value), origin, ""))
        squares = nodes[-1].outputs[0]
        nodes.append(apply_operator(SQUARE_SUM, (f"loss.{name}",), (squares,), origin, ""))
    nodes.append(apply_operator(SQUARE_SUM, ("loss.decay",), (added[0].value,), origin, ""))
    return replace(
        block,
        parameters=(*block.parameters, *added),
        nodes=(*block.nodes, *nodes),
        losses=(
            LossTerm("loss.aux.cut"),
            LossTerm("loss.aux.whole", "sequences"),
            LossTerm("loss.decay", "step"),
        ),
    )


def relowered(case: Case, graph: ModelGraph, phase: PhasePlan | None = None) -> Case:
    """The case with another graph or phase, and weights for all parameters."""
    phase = phase or case.phase
    program = lower(phase, graph, case.spec.train.clip)
    drawn = weights(graph, torch.Generator().manual_seed(case.seed))
    return replace(case, graph=graph, phase=phase, program=program, parameters=drawn)


def auxiliary(case: Case) -> Case:
    kinds = tuple(with_losses(kind) for kind in case.graph.kinds)
    return relowered(case, replace(case.graph, kinds=kinds))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_losses_of_layers_mean_what_the_graph_means(case: Case) -> None:
    """Values and gradients, over data, context, tensor and pipeline ranks."""
    made = auxiliary(case)
    assert differences(made, made.program) == {}
    (stream,) = {kind.output.layout for kind in case.program.kinds}
    assert {kind.output.layout for kind in made.program.kinds} == {stream}


@pytest.mark.parametrize(
    "change",
    [
        lambda loss: replace(loss, normaliser="valid tokens"),
        lambda loss: replace(loss, value=replace(loss.value, layout=Layout())),
        None,
    ],
    ids=["another normaliser", "counted as if every rank had it", "left out"],
)
def test_a_loss_counted_wrong_is_seen(change: Callable[[LocalLoss], LocalLoss] | None) -> None:
    made = auxiliary(hybrid())
    layer = made.program.kinds[0]
    cut, whole, decay = layer.losses
    losses = (cut, change(whole), decay) if change else (cut, decay)
    wrong = replace(made.program, kinds=(replace(layer, losses=losses),))
    assert {"loss", "grad_norm"} <= differences(made, wrong).keys()


def test_a_loss_of_a_layer_is_not_printed() -> None:
    found = planned()
    assert found.plan is not None
    program = found.program()
    check_printed(program, features_of(program, found.plan).axes)
    layer = program.kinds[0]
    loss = LocalLoss(layer.output, "sequences")
    other = replace(program, kinds=(replace(layer, losses=(loss,)),))
    with pytest.raises(NotPrinted, match="layer: loss x_out / sequences is not printed yet"):
        check_printed(other, features_of(other, found.plan).axes)


# Groups of parameters.

Kind = Literal["zero1", "zero2", "zero3"]


def grouped(phase: PhasePlan, copy: tuple[str, ...]) -> PhasePlan:
    """Matrices of the ffn share a copy over the atoms `copy` only."""
    (rest,) = phase.groups
    return replace(phase, groups=(StateGroup(("d_ff",), rest.data, copy), rest))


@pytest.mark.parametrize("kind", ["zero1", "zero2", "zero3"])
def test_two_groups_mean_what_the_graph_means(kind: Kind) -> None:
    case = hybrid()  # replicate 2 x shard 3 x tp 2
    (group,) = case.phase.groups
    phase = replace(
        case.phase, sharding=kind, groups=(replace(group, copy=("replicate", "shard")),)
    )
    made = relowered(case, case.graph, grouped(phase, ("shard",)))
    ffn, rest = made.program.contracts
    assert set(ffn.parameters) == {f"layer/ffn.w_{name}" for name in ("gate", "up", "down")}
    assert set(ffn.data) == set(rest.data) == {"replicate", "shard"}
    assert differences(made, made.program) == {}
    if kind != "zero1":
        wrong = replace(made.program, delegated=(rest, *made.program.delegated[2:]))
        assert "layers.0.ffn.w_up" in differences(made, wrong)


def changed(*changes: tuple[str, str]) -> tuple[PhasePlan, RankProgram]:
    """dp 8 as replicate 2 x shard 4, the ffn cut over shard, all else over both."""
    found = planned(("tp = 2", "tp = 1, fsdp = 4"), *changes)
    assert found.plan is not None
    phase = found.plan.main
    (group,) = phase.groups
    phase = replace(phase, groups=(replace(group, copy=("replicate", "shard")),))
    phase = grouped(phase, ("shard",))
    graph_of = replace(found, plan=replace(found.plan, phases=(phase,)))
    return phase, graph_of.program()


FFN = 3 * 64 * 96
LAYER = 2 * 64 + 64 * 64 * 2 + 2 * 16 * 64
"""Of the small spec: parameters of one layer beside its ffn."""


def test_memory_of_two_groups() -> None:
    phase, program = changed()
    (stage,) = memory(phase, program).children
    found = {part.name: part.value for part in stage.children}
    ends = 64 + 2 * 512 * 64
    assert found["parameters"] == 4 * (2 * FFN / 4 + (2 * LAYER + ends) / 8)
    assert found["optimizer"] == 2 * found["parameters"]
    assert found["gathered"] == 2 * (2 * FFN + LAYER + ends)


def test_traffic_of_two_groups() -> None:
    """One more layer: each group is gathered and scattered over its own ranks; copies add up."""
    few, many = (
        totals(traffic(*case, stages(*case)[0]))
        for case in (changed(), changed(("layers = 2", "layers = 3")))
    )
    added = {
        (kind, " ".join(atoms)): size - few[atoms, kind][1]
        for (atoms, kind), (_, size) in many.items()
        if size != few[atoms, kind][1]
    }
    assert added == {
        ("all_gather", "shard"): 2 * 2 * FFN,
        ("reduce_scatter", "shard"): 4 * FFN,
        ("all_reduce", "replicate"): 4 * FFN // 4,
        ("all_gather", "replicate shard"): 2 * 2 * LAYER,
        ("reduce_scatter", "replicate shard"): 4 * LAYER,
    }


# Axes that share atoms.


def overlapping(case: Case) -> Case:
    """shard in two atoms; d_ff, and with it the ffn, cut over ep = inner x tp beside dp = outer x
    inner. Gradients of the ffn are then summed over outer only."""
    mesh = case.phase.mesh
    atoms = tuple(
        part
        for atom in mesh.atoms
        for part in ((Atom("outer", 2), Atom("inner", 2)) if atom.name == "shard" else (atom,))
    )
    dense = tuple((axis, _split(of)) for axis, of in mesh.axes)
    ep = tuple(atom.name for atom in atoms if atom.name in ("inner", *mesh.axis("tp")))
    finer = Mesh(atoms, (*dense, ("ep", ep), ("edp", ("outer",))))
    cuts = dict(case.phase.cuts) | {"batch": finer.axis("dp"), "d_ff": ep}
    (rest,) = case.phase.groups
    groups = (
        StateGroup(("d_ff",), ("outer",), ("outer",)),
        replace(rest, data=_split(rest.data), copy=_split(rest.copy)),
    )
    phase = replace(case.phase, mesh=finer, cuts=tuple(cuts.items()), groups=groups)
    kinds = tuple(map(_wider, case.graph.kinds))
    return relowered(case, replace(case.graph, kinds=kinds), phase)


def _split(atoms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(p for a in atoms for p in (("outer", "inner") if a == "shard" else (a,)))


def _wider(block: Block) -> Block:
    """d_ff so wide that ep divides it."""
    dimensions = (
        replace(d, size=d.size * 4 if d.name == "d_ff" else d.size) for d in block.dimensions
    )
    return replace(block, dimensions=tuple(dimensions))


@st.composite
def cases_of_four(draw: st.DrawFn) -> Case:
    """With four ranks on shard, so that it has two atoms."""
    meshes = [m for m in EVERY_RANKS if m.shard == 4 and m.world <= USUAL_WORLD]
    spec = draw(plan_specs(st.sampled_from(meshes)))
    return made(spec, 1, draw(st.integers(0, 2**31 - 1)))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(cases_of_four())
def test_a_second_factorisation_means_what_the_graph_means(case: Case) -> None:
    found = auxiliary(overlapping(case))
    assert differences(found, found.program) == {}


def test_collectives_over_axes_that_share_atoms() -> None:
    """Tokens come together over inner and tp; whole axes move in one collective."""
    atoms = (Atom("outer", 2), Atom("inner", 3), Atom("tp", 2))
    axes = (("dp", ("outer", "inner")), ("tp", ("tp",)), ("ep", ("inner", "tp")))
    mesh = Mesh(atoms, axes)
    assert mesh.tensor_atoms == ("outer", "inner", "tp")
    assert mesh.parts(("inner", "tp")) == ("ep",)
    assert mesh.parts(("outer", "inner", "tp")) == ("dp", "tp")
    nesting = {"d_ff": ("inner", "tp"), "batch": ("outer", "inner"), "seq": ("tp",)}

    def found(have: dict[str, Placement], want: dict[str, Placement]) -> list[str]:
        made = moves(mesh, nesting, layout(mesh, have), layout(mesh, want))
        return [f"{move.axis}: {move.have} -> {move.want}" for move in made]

    batch = {"outer": Shard("batch"), "inner": Shard("batch")}
    pending: dict[str, Placement] = {"inner": Partial(), "tp": Partial()}
    d_ff = {"inner": Shard("d_ff"), "tp": Shard("d_ff")}
    assert found(d_ff, {}) == ["ep: S(d_ff) -> R"]
    assert found(dict(batch), {}) == ["dp: S(batch) -> R"]
    assert found(dict(batch), {"outer": Shard("batch")}) == ["inner: S(batch) -> R"]
    assert found(pending, {"inner": Shard("batch"), "tp": Shard("seq")}) == [
        "tp: P(sum) -> S(seq)",
        "inner: P(sum) -> S(batch)",
    ]


def test_a_group_without_processes_is_not_printed() -> None:
    found = planned()
    assert found.plan is not None
    program = found.program()
    layer = program.kinds[0]
    gather = next(line for line in layer.statements if isinstance(line, Collective))
    other = replace(program, kinds=(replace(layer, statements=(replace(gather, axis="ep"),)),))
    with pytest.raises(NotPrinted, match="all_gather of attention_in over ep is not printed yet"):
        check_printed(other, features_of(other, found.plan).axes)
