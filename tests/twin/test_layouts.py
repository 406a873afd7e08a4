"""The emitted program of each layout, run on processes, equals the reference in everything."""

from __future__ import annotations

import pytest

from compiler.schema import PlanSpec
from llamac.verify.verify import Asked, verify
from tests.twin.layouts import CONTEXTS, FORMATS, LAYOUTS, MORE, PIPELINES, RAMPS, SHARDINGS
from tests.twin.more_layouts import MANY
from tests.twin.programs import compiled, emitted

OBSERVABLES = {
    "initial",
    "position",
    "tokens",
    "loss",
    "gradient",
    "grad_norm",
    "lr",
    "skipped",
    "unchanged",
    "schedule",
    "order",
    "parameter",
    "exp_avg",
    "exp_avg_sq",
    "adam_step",
}


def holds(spec: PlanSpec, asked: Asked | None = None) -> None:
    result = verify(compiled(spec), emitted, asked)
    assert [layer for layer in result.layers if layer.status == "different"] == []
    for twin in result.twins:
        assert twin.stopped == ()
        assert twin.differences == ()
        evaluation = spec.train.eval
        evaluated = set[str]() if evaluation is None else {"val_loss"}
        samples = evaluation is not None and evaluation.prompt is not None
        sampled = {"logits", "sample"} if samples else set[str]()
        shown = {observable.name for observable in twin.observables}
        assert shown == OBSERVABLES | evaluated | sampled
        assert all(observable.bound <= 1e-10 for observable in twin.observables)
    if asked is None or not asked.compiled:  # the tracer does not see what torch has compiled
        assert [one.text() for one in result.unexecuted if not one.reason] == []
    assert result.ok


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    holds(LAYOUTS[name])


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline(name: str) -> None:
    holds(PIPELINES[name])


@pytest.mark.parametrize("name", CONTEXTS)
def test_context(name: str) -> None:
    holds(CONTEXTS[name])


@pytest.mark.parametrize("name", SHARDINGS)
def test_sharding(name: str) -> None:
    holds(SHARDINGS[name])


@pytest.mark.parametrize("name", RAMPS)
def test_ramp(name: str) -> None:
    holds(RAMPS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_format_of_the_data(name: str) -> None:
    holds(FORMATS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", MORE)
def test_more_layouts(name: str) -> None:
    holds(MORE[name])


@pytest.mark.long
@pytest.mark.parametrize("name", MANY)
def test_many_layouts(name: str) -> None:
    holds(MANY[name])


def test_the_tables_are_long_enough() -> None:
    """Names are distinct, and so are the plans behind them."""
    quick = [*LAYOUTS.items(), *PIPELINES.items(), *CONTEXTS.items(), *SHARDINGS.items()]
    long = [*MORE.items(), *MANY.items()]
    assert len(quick) >= 12
    assert len(long) >= 40
    names, plans = zip(*quick, *long, strict=True)
    assert len(set(names)) == len(set(map(repr, plans))) == len(quick) + len(long)


COMPILED = {
    "tied head, tp": LAYOUTS["tied head, tp"],
    "interleaved, pp3": PIPELINES["interleaved, pp3"],
    "cp3": CONTEXTS["cp3"],
}


@pytest.mark.long
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_by_inductor(name: str) -> None:
    holds(COMPILED[name], Asked(compiled=True, patience=600.0))
