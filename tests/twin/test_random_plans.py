"""No false alarm: whatever valid plan is drawn, its program equals the reference."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from compiler.schema import PlanSpec
from llamac.verify.result import as_text
from llamac.verify.verify import verify
from tests.strategies import EVERY_RANKS, plan_specs
from tests.twin.programs import compiled, emitted

# two atoms at most: their twins have 6 ranks or fewer, or are as small as the plan
MESHES = [ranks for ranks in EVERY_RANKS if ranks.atoms <= 2 and ranks.world <= 6]


@pytest.mark.long
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(spec=plan_specs(strategies.sampled_from(MESHES)))
def test_random_plan(spec: PlanSpec) -> None:
    result = verify(compiled(spec), emitted)
    assert result.ok, as_text(result)
