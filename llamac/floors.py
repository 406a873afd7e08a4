"""Whether the floors below are ours: `dsl`, `compiler` and `backends` are words others use too."""

from __future__ import annotations

import importlib

FLOORS = ("dsl", "compiler", "backends")


def shadowed() -> str | None:
    """One line that says which package stands in the way of a floor and what to do, or None.

    Each floor's `__init__` carries a marker constant; whatever else Python finds under that name
    does not.
    """
    for name in FLOORS:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            return f"llamac's package `{name}` cannot be imported ({error}); install llamac again"
        if getattr(module, "LLAMAC_FLOOR", None) != f"llamac.{name}":
            places = [module.__file__] if module.__file__ else list(module.__path__)
            return (
                f"llamac needs its own package `{name}`, but Python finds {places[0]} first; "
                "rename or uninstall that one, or install llamac by itself (`pipx install llamac`)"
            )
    return None
