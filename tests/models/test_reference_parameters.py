"""The reference and the graph, written apart, agree about every parameter of random models."""

from __future__ import annotations

from hypothesis import given, settings

from backends.reference.parameters import decaying, parameters_of
from compiler.build_graph import build_graph
from compiler.graph import Normal, Ones, Zeros
from compiler.schema import ModelSpec
from tests.strategies import model_specs

STARTS = {Normal: "drawn", Ones: "ones", Zeros: "zeros"}


@settings(max_examples=200)
@given(model_specs())
def test_names_shapes_starts_and_decay(model: ModelSpec) -> None:
    found = {
        instance.full_name(parameter): (
            tuple(instance.block.size(dim) for dim in parameter.dims),
            STARTS[type(parameter.init)],
            parameter.decays,
        )
        for instance in build_graph(model).instances()
        for parameter in instance.block.parameters
        if not parameter.tied_to
    }
    decays = decaying(model)
    assert found == {
        name: (parameter.shape, parameter.start, name in decays)
        for name, parameter in parameters_of(model).items()
    }
