"""What breaks the lowering law in a case."""

from __future__ import annotations

from backends.interpreter.law import TOLERANCE, errors
from compiler.rank_program import RankProgram
from tests.properties.cases import Case


def differences(case: Case, program: RankProgram) -> dict[str, float]:
    """Error of every observable beyond the tolerance, by its name."""
    found = errors(case.graph, program, case.parameters, case.batch)
    return {name: error for name, error in found.items() if error > TOLERANCE}
