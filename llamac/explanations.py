"""The explanation of every error that any floor can raise, by slug."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

import compiler.problems
import dsl.frontend
import dsl.problems
import llamac.problems
from dsl import diagnostics

_PACKAGES = (dsl.problems, compiler.problems, llamac.problems)
_ELSEWHERE = (dsl.frontend,)  # brings in syntax, units and arithmetic, which define their own


def explanations() -> Mapping[str, str]:
    """Slug -> explanation. A class is known once its module is imported, so this imports all."""
    for package in _PACKAGES:
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return diagnostics.explanations()
