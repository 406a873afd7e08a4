"""Specs to compiled plans and program text, as the tests of the twin use them."""

from __future__ import annotations

from collections.abc import Mapping

from backends.emit import emit
from compiler.pipeline import Compiled, compile_plan
from compiler.schema import PlanSpec


def compiled(spec: PlanSpec) -> Compiled:
    result = compile_plan("plan", spec)
    assert result.compiled is not None, result.diagnostics
    return result.compiled


def emitted(plan: Compiled) -> Mapping[str, str]:
    return emit(plan).files
