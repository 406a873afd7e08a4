"""Programs whose backward runs operators or whole layers again compute what the reference does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.twin.layouts import LAYOUTS
from tests.twin.test_layouts import holds


@pytest.mark.parametrize("recompute", [("swiglu", "rms_norm"), "full"])
def test_recomputation(recompute: tuple[str, ...] | str) -> None:
    holds(replace(LAYOUTS["tied head, tp"], recompute=recompute))


@pytest.mark.long
@pytest.mark.parametrize("recompute", [("linear",), ("attention", "rope", "add"), ("swiglu",)])
def test_more_lists(recompute: tuple[str, ...]) -> None:
    holds(replace(LAYOUTS["tp4 > kv heads"], recompute=recompute))
    holds(replace(LAYOUTS["dp2"], recompute=recompute))


@pytest.mark.long
@pytest.mark.parametrize("recompute", [("swiglu", "rms_norm"), "full"])
def test_recomputation_with_accumulation(recompute: tuple[str, ...] | str) -> None:
    holds(replace(LAYOUTS["dp2 x tp3, accumulation"], recompute=recompute))
