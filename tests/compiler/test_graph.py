"""The model graph: published sizes, names, and that depth costs nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.reference.parameters import parameter_shapes as reference_shapes
from compiler.build_graph import build_graph
from compiler.estimates import parameters
from dsl.schema import Pattern
from tests.compiler.specs import planned, standard_models
from tests.models.published import PUBLISHED


@pytest.mark.parametrize("library", PUBLISHED)
def test_parameters_are_those_published(library: str) -> None:
    counted = {
        name: parameters(build_graph(model)).value
        for name, model in standard_models(library).items()
    }
    assert counted == PUBLISHED[library]


@pytest.mark.parametrize("tied", ["true", "false"])
def test_parameters_are_named_and_shaped_as_in_the_reference(tied: str) -> None:
    model = planned(
        ("  layer {", f"  head {{ tied = {tied} }}\n  layer {{"),
        ("kv_heads = 2,", "kv_heads = 2, qk_norm = rms {},"),
    ).spec.model
    graph = build_graph(model)
    shapes = {
        instance.full_name(p): tuple(instance.block.size(dim) for dim in p.dims)
        for instance in graph.instances()
        for p in instance.block.parameters
        if not p.tied_to
    }
    assert shapes == reference_shapes(model)


def test_graph_does_not_grow_with_depth() -> None:
    model = planned().spec.model
    deep = replace(
        model, layers=10_000, layer=Pattern(kinds=model.layer.kinds, indices=(0,) * 10_000)
    )
    assert build_graph(deep).blocks == build_graph(model).blocks


def test_each_kind_of_layer_is_one_block() -> None:
    model = planned().spec.model
    (kind,) = model.layer.kinds
    other = replace(kind, ffn=replace(kind.ffn, d_ff=32))
    graph = build_graph(
        replace(model, layers=4, layer=Pattern(kinds=(kind, other), indices=(0, 1, 1, 0)))
    )
    assert [block.name for block in graph.blocks] == ["embedding", "layer_0", "layer_1", "head"]
    assert [graph.count(block) for block in graph.blocks] == [1, 2, 2, 1]
    assert [instance.prefix for instance in graph.instances()] == [
        "embedding.", "layers.0.", "layers.1.", "layers.2.", "layers.3.", "",
    ]  # fmt: skip
