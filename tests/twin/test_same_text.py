"""The twin is the emitted program itself: for every plan, all modules but config.py are equal."""

from __future__ import annotations

from hypothesis import given, settings

from backends.pytorch.emit import MODULES
from compiler.schema import PlanSpec
from compiler.twin.twins import twins_of
from llamac.verify.verify import modules
from tests.strategies import plan_specs
from tests.twin.programs import compiled, emitted


def without_config(spec: PlanSpec) -> dict[str, str]:
    files = modules(emitted(compiled(spec)))
    assert files.pop("config.py")
    return files


@settings(max_examples=60, deadline=None)
@given(spec=plan_specs())
def test_only_config_differs(spec: PlanSpec) -> None:
    plan = without_config(spec)
    assert set(plan) == {f"{module}.py" for module in MODULES}
    for twin in twins_of(spec, compiled(spec).plan.main):
        assert without_config(twin) == plan
