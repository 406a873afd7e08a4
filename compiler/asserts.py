"""check_asserts: a plan's constraints, held against what was resolved and estimated."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.estimates import Estimate
from compiler.plan import Plan
from dsl.diagnostics import Diagnostic
from dsl.spec import Assert


def check_asserts(
    plan: Plan, figures: Mapping[str, Estimate], asserts: tuple[Assert, ...]
) -> tuple[Diagnostic, ...]:
    del plan, figures, asserts
    return ()
