"""The twin keeps the structure of its plan and changes sizes only, for every valid plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings

from backends.emit import emit
from compiler.components.builder import Builder
from compiler.graph import Normal
from compiler.operators import Linear
from compiler.pipeline import Compiled, compile_plan
from compiler.plan import Recompute
from compiler.schema import PlanSpec
from compiler.schema.model import Ffn
from compiler.schema.plan import ByStage
from compiler.twin.twins import twins_of
from tests.strategies import plan_specs
from tests.twin.layouts import Spread, llama, plan


def compiled(spec: PlanSpec) -> Compiled:
    result = compile_plan("plan", spec)
    assert result.compiled is not None, result.diagnostics
    return result.compiled


@settings(max_examples=80, deadline=None)
@given(spec=plan_specs())
def test_twins_of_any_plan(spec: PlanSpec) -> None:
    """The laws share their twins: to draw and to compile them is what takes time."""
    plan = compiled(spec)
    twins = twins_of(spec, plan.plan.main)
    programs = [compiled(twin) for twin in twins]
    for twin, small in zip(twins, programs, strict=True):
        structure_is_kept(plan, twin, small)
        has_its_own_sizes(twin)
    every_two_atoms_differ(programs)


def structure_is_kept(plan: Compiled, twin: PlanSpec, small: Compiled) -> None:
    spec = plan.plan.spec
    mesh, own = plan.plan.main.mesh, small.plan.main.mesh
    assert own.world <= 72
    assert [atom.name for atom in own.atoms] == [atom.name for atom in mesh.atoms]
    assert (small.plan.main.microbatches > 1) == (plan.plan.main.microbatches > 1)
    assert small.plan.main.microbatch > 1
    assert small.plan.main.policies == plan.plan.main.policies
    if len(small.plan.main.policies) > 1:  # each way on every kind of layer
        assert min(small.plan.main.stages) >= len(spec.model.layer.kinds)
    assert twin.model.head == spec.model.head
    assert len(twin.model.layer.kinds) == len(spec.model.layer.kinds)
    assert set(twin.model.layer.indices) == set(range(len(twin.model.layer.kinds)))
    assert type(twin.train.lr_schedule) is type(spec.train.lr_schedule)
    assert (twin.train.clip is None) == (spec.train.clip is None)
    for kind, before in zip(twin.model.layer.kinds, spec.model.layer.kinds, strict=True):
        now, then = kind.attention, before.attention
        assert type(now) is type(then)
        assert (now.qk_norm is None) == (then.qk_norm is None)
        assert (now.rope is None) == (then.rope is None)
        assert (now.kv_heads > twin.tp) == (then.kv_heads > spec.tp)
        assert (now.kv_heads < twin.tp) == (then.kv_heads < spec.tp)
        assert (now.heads == now.kv_heads) == (then.heads == then.kv_heads)


def test_sixteen_stages_that_recompute_in_four_ways() -> None:
    ways: tuple[Recompute, ...] = ("full", ("attention",), ("linear",), "none")
    each: tuple[Recompute, ...] = tuple(way for way in ways for _ in range(4))
    model = llama(12)
    spec = plan(
        replace(model, layers=30, layer=replace(model.layer, indices=(0,) * 30)),
        Spread(pp=16, microbatches=16, recompute=ByStage(stages=each)),
    )
    (twin,) = twins_of(spec, compiled(spec).plan.main)
    assert twin.pp == 4
    assert twin.recompute == ByStage(stages=ways)
    assert compiled(twin).plan.main.stages == (1, 2, 2, 1)


def every_two_atoms_differ(twins: Sequence[Compiled]) -> None:
    """In some twin: what mixes them up shows there."""
    meshes = [{atom.name: atom.size for atom in twin.plan.main.mesh.atoms} for twin in twins]
    for one, other in combinations(meshes[0], 2):
        assert any(sizes[one] != sizes[other] for sizes in meshes), (one, other, meshes)


def has_its_own_sizes(twin: PlanSpec) -> None:
    """Dimensions of a layer differ pairwise, so that no two can be mixed up unseen."""
    layer = twin.model.layer.kinds[0]
    sizes = [
        twin.train.seq_len,
        twin.model.d_model,
        twin.model.vocab,
        layer.attention.head_dim,
        layer.ffn.d_ff,
        layer.attention.heads,
    ]
    assert len(set(sizes)) == len(sizes), sizes


def test_a_new_dimension_gets_a_size_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component declares it, and no table names it: an inner width, and twice
    that."""

    def narrow(builder: Builder, entry: Ffn, h: str, init: Normal) -> str:
        width = builder.dim("bottleneck", entry.d_ff, builder.origin.row("d_ff"))
        double = builder.dim("double", 2 * entry.d_ff, builder.origin.path, "2 * bottleneck")
        down = builder.parameter("ffn.w_down", (width, "d_model"), init)
        wide = builder.parameter("ffn.w_wide", (double, width), init)
        up = builder.parameter("ffn.w_up", ("d_model", double), init)
        inner = builder.apply("inner", Linear(), h, down)
        return builder.apply("ffn_out", Linear(), builder.apply("wide", Linear(), inner, wide), up)

    monkeypatch.setattr("compiler.build_graph.ffn", narrow)
    spec = plan(llama(12), Spread(tp=2))
    for twin in twins_of(spec, compiled(spec).plan.main):
        small = compiled(twin)
        sizes = small.graph.kinds[0].sizes
        double = sizes.pop("double")
        assert double == 2 * sizes["bottleneck"]
        assert len(set(sizes.values())) == len(sizes), sizes
        assert sizes["bottleneck"] < 100 < spec.model.layer.kinds[0].ffn.d_ff
        text = emit(small).files["config.py"]
        assert f"\nBOTTLENECK = {sizes['bottleneck']}  # model.layer.ffn.d_ff, " in text
        assert f"\nDOUBLE = {double}  # 2 * BOTTLENECK\n" in text
