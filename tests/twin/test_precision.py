"""bf16 against its floor: a layout rounds no more than one process does, and faults still show.

The floor is measured: the same model on the same data, in the same precision, on one process. What
a layout adds (partial sums in another order) is of the same size; a wrong sum is far above it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from compiler.schema import ClusterSpec, CpuNode, PlanSpec
from compiler.schema.plan import OneFOneB
from compiler.twin.twins import twins_of
from dsl.schema import AUTO
from llamac.verify.compare import BOUNDS, Bounds
from llamac.verify.faults import by_name, seeded
from llamac.verify.result import TwinResult
from llamac.verify.twin import Limits, prepare_twin, run_twin
from llamac.verify.verify import CONFIG, compile_twin, modules, twin_config
from tests.twin.layouts import Spread, llama, plan
from tests.twin.programs import compiled, emitted

WITHIN = 3.0
"""Times the floor: three steps are few, and so the floor is itself a rough number."""

ANY: Bounds = dict.fromkeys(BOUNDS, math.inf)
MIXED = {
    "PARAMETER_DTYPE": "float32",
    "COMPUTE_DTYPE": "bfloat16",
    "REDUCE_DTYPE": "float32",
    "ACCUMULATE_DTYPE": "float32",
}
SPREADS = {
    "cp3 x tp2": Spread(cp=3, fsdp=3, tp=2, microbatches=2),
}
MORE = {
    "fsdp2 x tp3": Spread(dp=2, fsdp=2, tp=3, microbatches=4),
    "zero1 x tp3": Spread(dp=2, fsdp=2, tp=3, microbatches=4, sharding="zero1"),
}


def run(twin: PlanSpec, folder: Path, bounds: Bounds, fault: str | None = None) -> TwinResult:
    files = modules(emitted(compile_twin("plan", twin)))
    found = by_name(fault) if fault is not None else None
    if found is not None:
        files = seeded(files, found)
    config = twin_config(files[CONFIG], twin, folder, MIXED)
    return run_twin({**files, CONFIG: config}, prepare_twin(twin, folder), Limits(bounds=bounds))


def alone(twin: PlanSpec) -> PlanSpec:
    one = ClusterSpec(node=CpuNode(devices=1))
    return replace(
        twin, cluster=one, dp=1, fsdp=1, tp=1, cp=1, pp=1, order=AUTO, schedule=OneFOneB()
    )


@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_a_layout_rounds_no_more_than_one_process(spread: Spread, tmp_path: Path) -> None:
    rounds_no_more(spread, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("spread", MORE.values(), ids=MORE)
def test_more_layouts_round_no_more(spread: Spread, tmp_path: Path) -> None:
    rounds_no_more(spread, tmp_path)


def rounds_no_more(spread: Spread, tmp_path: Path) -> None:
    spec = plan(llama(12), spread)
    (twin,) = twins_of(spec, compiled(spec).plan.main)
    floor = run(alone(twin), tmp_path / "floor", ANY)
    assert floor.stopped == ()
    errors = {observable.name: observable.error for observable in floor.observables}
    assert 1e-5 < errors["loss"] < 1e-2, "this is bf16"
    bounds = {name: max(WITHIN * errors.get(name, 0.0), bound) for name, bound in BOUNDS.items()}
    result = run(twin, tmp_path / "layout", bounds)
    assert result.stopped == ()
    assert result.differences == ()

    faulty = run(twin, tmp_path / "faulty", bounds, "norm-gradients-unreduced")
    assert faulty.stopped == ()
    assert faulty.differences[0].observable == "gradient"
    assert faulty.differences[0].tensor == "layers.0.attention_norm.weight"
