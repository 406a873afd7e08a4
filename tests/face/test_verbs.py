"""The verbs as functions of the package."""

from __future__ import annotations

import importlib
from types import ModuleType

import llamac


def test_packages_of_the_same_name_do_not_hide_verbs() -> None:
    """The first call of a verb imports the package that does it."""
    for name in ("prepare", "verify"):
        package = importlib.import_module(f"llamac.{name}")
        assert isinstance(package, ModuleType)
        assert importlib.import_module(f"llamac.{name}") is package
    for name in llamac.__all__:
        assert getattr(llamac, name).__name__ == name
        assert not isinstance(getattr(llamac, name), ModuleType)
