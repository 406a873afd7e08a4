"""Errors of the face: what is right in a spec and wrong here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem


@dataclass(frozen=True, kw_only=True)
class WorldDoesNotFit(Problem):
    """`run` starts every process of a plan on this machine, one a device, so the plan's cluster
    must be one node of what this machine has. CPU processes may share cores, within reason: they
    take turns, and beyond a few a core nothing is learnt sooner.

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
            "`llamac compile` writes the program for its cluster",
            "run a plan whose cluster is `node = hw.cpu { devices = 4 }`",
        )


@dataclass(frozen=True, kw_only=True)
class CannotImport(Problem):
    """The config.json says something that a spec has no words for, so that a spec without it would
    describe another model. Nothing is left out in silence: every such key is listed.

    A key that only matters elsewhere (dropout in training, say, where you want none) may be left
    out by name; the spec that is written says so.
    """

    slug = "cannot-import"
    title: ClassVar[str] = "no spec can say `{key} = {value}`"
    label: ClassVar[str] = "{why}"

    key: str
    value: str
    why: str
    may_ignore: bool

    def helps(self) -> tuple[str, ...]:
        return (f"`--ignore {self.key}` leaves it out",) if self.may_ignore else ()


@dataclass(frozen=True, kw_only=True)
class NotAConfig(Problem):
    """The file is not the config.json of a Hugging Face model: a JSON object with `model_type`."""

    slug = "not-a-config"
    title: ClassVar[str] = "this is not the config.json of a model"
    label: ClassVar[str] = "{why}"

    why: str
