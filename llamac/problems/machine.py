"""Machines that lack what a command needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem


@dataclass(frozen=True, kw_only=True)
class WorldDoesNotFit(Problem):
    """`run` starts every process of a plan on this machine, one per device, so the plan's cluster
    must be one node with no more devices than this machine has. CPU processes may share cores, up
    to a few per core: they take turns, so more of them train no faster.

    Compile the plan and start it on its cluster instead, or run a plan for one node.
    """

    slug = "world-does-not-fit"
    title: ClassVar[str] = "this machine cannot hold the plan's {world:,} processes"
    label: ClassVar[str] = "{wanted}, and this machine has {present}"

    world: int
    wanted: str
    present: str

    def helps(self) -> tuple[str, ...]:
        return (
            "`llamac compile` writes the program for its cluster, with scripts that start it",
            "run a plan whose cluster is `node = hw.cpu { devices = 4 }`",
        )
