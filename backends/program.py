"""What a backend makes of a compiled plan, and what every backend offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from compiler.pipeline import Compiled
from dsl.diagnostics import Problem
from dsl.spec import Origins


@dataclass(frozen=True)
class Program:
    """The text of every file by its path in the output directory; `executable` files can be run."""

    files: Mapping[str, str]
    executable: frozenset[str] = frozenset()


class Backend(Protocol):
    """Prints one program: `compiled` has only phases with one mapping (see `pipeline.programs`)."""

    def refuses(self, compiled: Compiled) -> tuple[Problem, ...]:
        """What stands in the way of printing the plan; empty if `emit` can print it."""
        ...

    def emit(self, compiled: Compiled, origins: Origins, scripts: Collection[str]) -> Program:
        """The program without its launch scripts, whose paths are `scripts`.

        `origins` tell where each value of the spec was written. Pure: nothing is read or written.
        """
        ...
