"""The explanation of every error that any floor can raise, by slug."""

from __future__ import annotations

from collections.abc import Mapping

# Each defines its own problems when it is imported; `dsl.frontend` brings in all of `dsl`.
import compiler.problems
import dsl.frontend
import llamac.problems
from dsl import diagnostics

_DEFINING = (compiler.problems, dsl.frontend, llamac.problems)


def explanations() -> Mapping[str, str]:
    return diagnostics.explanations()
