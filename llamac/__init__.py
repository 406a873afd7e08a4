"""The user interface: the Python API and the command line. Imports everything below, and lazily.

`api` has the commands as functions, `cli/` one file per command, `files` reads specs, `output/`
writes directories, `prepare/` makes tokens of text, `launch` starts a program here, `verify/` runs
the twin. All input and output of the compiler is here. A new command is a function in `api` and a
file in `cli/` beside `check.py`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llamac.api import check, compile, load, plan, prepare, verify

__all__ = ["check", "compile", "load", "plan", "prepare", "verify"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`llamac.load` and the others, imported when they are used: `llamac --help` needs none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from llamac.floors import shadowed

    problem = shadowed()
    if problem is not None:
        raise ImportError(problem)
    return getattr(importlib.import_module("llamac.api"), name)


class _Face(ModuleType):
    """Keeps functions apart from the packages of the same name: importing `llamac.prepare`
    would otherwise put the package where the function is."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
