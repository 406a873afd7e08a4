"""The law must fail where lowering is wrong: faults put into right rank programs, one at a time.

Each names what shows it: exactly these observables differ, or the interpreter finds a value that
does not lie as declared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from backends.interpreter import graph as graphs
from backends.interpreter.checks import PlacementError
from backends.interpreter.step import owners
from compiler.placement import Layout, Shard
from compiler.rank_program import GradientSum
from compiler.schema import ClusterSpec, CpuNode, ModelSpec, PlanSpec, TrainSpec
from compiler.schema.model import Gqa, HeadSpec, LayerSpec, RmsNorm, Rope, Swiglu
from compiler.schema.train import AdamW
from dsl.schema import AUTO, Auto, Count, Pattern
from tests.properties.cases import Case, cases, made
from tests.properties.changes import Change, fsdp, line, norm, region, step, sums, weight
from tests.properties.law import differences
from tests.strategies import Ranks


@cache
def hybrid() -> Case:
    """replicate 2 x shard 3 x tp 2, tied, qk-norm, two microbatches."""
    return _case(Ranks(2, 3, 2, 1), heads=4, kv_heads=2, tied=True)


@cache
def hybrid_zero1() -> Case:
    """The same ranks, of which each holds all parameters and gradients."""
    return _case(Ranks(2, 3, 2, 1), heads=4, kv_heads=2, tied=True, sharding="zero1")


@cache
def copies() -> Case:
    """shard 3 x kv 2 x kv_copy 2: four tensor ranks on two key/value heads."""
    return _case(Ranks(1, 3, 2, 2), heads=8, kv_heads=2, tied=False)


def _case(
    ranks: Ranks,
    heads: int,
    kv_heads: int,
    tied: bool,
    sharding: Literal["zero1"] | Auto = AUTO,
) -> Case:
    attention = Gqa(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=4,
        qk_norm=RmsNorm(),
        rope=Rope(theta=50.0),
        scale=0.5,
    )
    layer = LayerSpec(attention=attention, ffn=Swiglu(d_ff=3 * ranks.tp))
    model = ModelSpec(
        vocab=3 * ranks.tp,
        d_model=6,
        layers=2,
        layer=Pattern(kinds=(layer,), indices=(0, 0)),
        head=HeadSpec(tied=tied),
    )
    train = TrainSpec(
        steps=4,
        seq_len=2 * ranks.tp,
        global_batch=Count(ranks.dp * 2, "sequences"),
        optimizer=AdamW(lr=1e-3),
    )
    cluster = ClusterSpec(node=CpuNode(devices=ranks.world))
    spec = PlanSpec(
        model=model,
        cluster=cluster,
        train=train,
        fsdp=ranks.shard,
        tp=ranks.tp,
        sharding=sharding,
    )
    return made(spec, loss_chunks=2, seed=1)


def gradients(case: Case, *parts: str) -> set[str]:
    """Full names that contain one of the parts; all without parts."""
    return {name for name in case.parameters if not parts or any(part in name for part in parts)}


@dataclass(frozen=True)
class Fault:
    name: str
    case: Callable[[], Case]
    change: Change
    shows: Callable[[Case], set[str]]


@dataclass(frozen=True)
class Misplaced:
    name: str
    case: Callable[[], Case]
    change: Change
    value: str


def only_norm(case: Case) -> set[str]:
    return {"grad_norm"}


def everything(case: Case) -> set[str]:
    return {"loss", "grad_norm", *gradients(case)}


def every_gradient(case: Case) -> set[str]:
    return {"grad_norm", *gradients(case)}


def some(*parts: str) -> Callable[[Case], set[str]]:
    return lambda case: {"grad_norm", *gradients(case, *parts)}


def without(entry: str) -> Callable[[GradientSum], GradientSum]:
    return lambda s: replace(s, parameters=tuple(name for name in s.parameters if name != entry))


WRONG_NUMBERS = (
    Fault("no gradient sums over tp", hybrid, sums(lambda s: None), some("norm")),
    Fault(
        "final norm not summed", hybrid, sums(without("head/final_norm.weight")), some("final_norm")
    ),
    Fault("q norm not summed", hybrid, sums(without("layer/attention.q_norm")), some("q_norm")),
    Fault(
        "summed twice",
        hybrid,
        step(lambda s: replace(s, gradient_sums=s.gradient_sums * 2)),
        some("norm"),
    ),
    Fault(
        "summed over the data atoms instead of tp",
        hybrid,
        sums(lambda s: replace(s, atoms=("shard",))),
        some("norm"),
    ),
    Fault(
        "copies of key/value heads not summed",
        copies,
        sums(lambda s: None if s.atoms == ("kv_copy",) else s),
        some("wk", "wv"),
    ),
    Fault(
        "copies of key/value heads summed over all of tp",
        copies,
        sums(lambda s: replace(s, atoms=("kv", "kv_copy"))),
        some("wk", "wv"),
    ),
    Fault(
        "norms summed over one atom of tp",
        copies,
        sums(lambda s: replace(s, atoms=("kv_copy",))),
        some("norm"),
    ),
    Fault(
        "cut gradients of the norm not summed over tp",
        hybrid,
        norm(lambda g: replace(g, atoms=tuple(a for a in g.atoms if a != "tp"))),
        only_norm,
    ),
    Fault(
        "whole gradients of the norm counted once a tp rank",
        hybrid,
        norm(lambda g: replace(g, atoms=("shard", "tp"))),
        only_norm,
    ),
    Fault(
        "replicas counted in the norm",
        hybrid,
        norm(lambda g: replace(g, atoms=("replicate", *g.atoms))),
        only_norm,
    ),
    Fault(
        "norm of the local shard only",
        hybrid,
        norm(lambda g: replace(g, atoms=tuple(a for a in g.atoms if a != "shard"))),
        only_norm,
    ),
    Fault(
        "a parameter left out of the norm",
        hybrid,
        norm(lambda g: replace(g, parameters=g.parameters[1:])),
        only_norm,
    ),
    Fault(
        "copies counted in the norm",
        copies,
        norm(lambda g: replace(g, atoms=("shard", "kv", "kv_copy"))),
        only_norm,
    ),
    Fault(
        "tokens not counted over the replicas",
        hybrid,
        step(lambda s: replace(s, count_over=("shard",))),
        everything,
    ),
    Fault(
        "tokens counted over tp too",
        hybrid,
        step(lambda s: replace(s, count_over=(*s.count_over, "tp"))),
        everything,
    ),
    Fault(
        "gradients not reduced over the replicas",
        hybrid,
        fsdp(lambda f: replace(f, replicate=())),
        every_gradient,
    ),
    Fault(
        "gradients not reduced over the shards",
        hybrid,
        fsdp(lambda f: replace(f, shard=())),
        every_gradient,
    ),
    Fault(
        "whole gradients reduced among the ranks of one optimizer only",
        hybrid_zero1,
        fsdp(lambda f: replace(f, replicate=("shard",))),
        every_gradient,
    ),
    Fault(
        "the norm counts whole gradients on every rank of an optimizer",
        hybrid_zero1,
        norm(lambda g: replace(g, atoms=("shard", *g.atoms))),
        only_norm,
    ),
    Fault(
        "layers left out of FSDP",
        hybrid,
        fsdp(lambda f: replace(f, parameters=tuple(p for p in f.parameters if "layer/" not in p))),
        some("layers."),
    ),
    Fault(
        "scattered in another order than gathered",
        copies,
        line("attention_out_scattered", atoms=("kv_copy", "kv")),
        everything,
    ),
    Fault(
        "gate and up exchanged",
        hybrid,
        line("inner", inputs=("up", "gate")),
        everything,
    ),
    Fault(
        "a norm of another place",
        hybrid,
        line("ffn_in", inputs=("x_mid", "attention_norm.weight")),
        everything,
    ),
)

WRONG_PLACES = (
    Misplaced(
        "a sum pending at the loss",
        hybrid,
        line("loss", inputs=("total", "picked_reduced", "targets")),
        "loss",
    ),
    Misplaced(
        "reduced over another axis",
        hybrid,
        line("picked_reduced", atoms=("shard",)),
        "picked_reduced",
    ),
    Misplaced(
        "all-reduce for all-gather",
        hybrid,
        line("ffn_in_gathered", pair="all_reduce"),
        "ffn_in_gathered",
    ),
    Misplaced(
        "all-reduce for reduce-scatter",
        hybrid,
        line("ffn_out_scattered", pair="all_reduce"),
        "ffn_out_scattered",
    ),
    Misplaced(
        "gathered along another dimension",
        hybrid,
        line("ffn_in_gathered", dim="d_model"),
        "ffn_in_gathered",
    ),
    Misplaced(
        "scattered along another dimension",
        hybrid,
        line("x_scattered", dim="d_model"),
        "x_scattered",
    ),
    Misplaced(
        "gathered over one atom of two",
        copies,
        line("ffn_in_gathered", atoms=("kv",)),
        "ffn_in_gathered",
    ),
    Misplaced("gather left out", hybrid, line("v", inputs=("attention_in", "attention.wv")), "v"),
    Misplaced("weight not cut", hybrid, weight("ffn.w_up", Layout()), "up"),
    Misplaced(
        "copies hold other heads",
        copies,
        weight("attention.wk", Layout((("kv_copy", Shard("kv_heads")),))),
        "k",
    ),
)

SAME_MEANING = (
    ("loss in one piece", region(chunks=1)),
    ("loss in four pieces", region(chunks=4)),
    ("logits shifted by another number", line("largest_reduced", pair="all_reduce")),
    ("operands of a sum exchanged", line("x_mid", inputs=("attention_out_scattered", "x"))),
)


@pytest.mark.parametrize("case", [hybrid(), copies()], ids=["hybrid", "copies"])
def test_right_programs_pass(case: Case) -> None:
    assert differences(case, case.program) == {}


@pytest.mark.parametrize("fault", WRONG_NUMBERS, ids=lambda fault: fault.name)
def test_fault_shows_in_exactly_these_observables(fault: Fault) -> None:
    case = fault.case()
    broken = fault.change(case.program)
    assert broken != case.program
    wanted = fault.shows(case)
    assert set(differences(case, broken)) == wanted


@pytest.mark.parametrize("fault", WRONG_PLACES, ids=lambda fault: fault.name)
def test_fault_is_a_value_that_does_not_lie_as_declared(fault: Misplaced) -> None:
    case = fault.case()
    broken = fault.change(case.program)
    assert broken != case.program
    with pytest.raises(PlacementError, match=rf"\b{fault.value}\b"):
        differences(case, broken)


@pytest.mark.parametrize(
    "change", [row[1] for row in SAME_MEANING], ids=[r[0] for r in SAME_MEANING]
)
def test_changes_that_keep_the_meaning_pass(change: Change) -> None:
    case = hybrid()
    changed = change(case.program)
    assert changed != case.program
    assert differences(case, changed) == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.data())
def test_any_sum_left_out_shows_in_its_parameter(case: Case, data: st.DataObject) -> None:
    # a rank that recomputes in its own way may have no layers
    held = {entry for _, entry, _, _ in owners(case.program)}
    owed = [name for s in case.program.step.gradient_sums for name in s.parameters if name in held]
    assume(owed)
    entry = data.draw(st.sampled_from(owed))
    own = {name for name, known, _, _ in owners(case.program) if known == entry}
    # documents of one token each, say, owe wq and wk nothing
    gradients = graphs.step(case.graph, case.parameters, case.batch).gradients
    assume(all(gradients[name].any() for name in own))
    assert set(differences(case, sums(without(entry))(case.program))) == {"grad_norm", *own}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.data())
def test_any_atom_left_out_of_the_norm_shows_in_it(case: Case, data: st.DataObject) -> None:
    groups = [group for group in case.program.step.norm if group.atoms]
    assume(groups)
    group = data.draw(st.sampled_from(groups))
    dropped = data.draw(st.sampled_from(group.atoms))
    less = replace(group, atoms=tuple(atom for atom in group.atoms if atom != dropped))
    broken = norm(lambda old: less if old == group else old)(case.program)
    assert set(differences(case, broken)) == {"grad_norm"}
