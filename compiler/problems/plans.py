"""Plans that are not there, and asserts that do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem


@dataclass(frozen=True, kw_only=True)
class UnknownPlan(Problem):
    """A verb that makes a program needs a plan: the file has none, or none of the name given, or
    several and none was named. `check` takes files without a plan, since others may import them.
    """

    slug = "unknown-plan"
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "{remark}"

    what: str
    remark: str
    others: tuple[Label, ...] = ()
    asks: str

    def secondary(self) -> tuple[Label, ...]:
        return self.others

    def helps(self) -> tuple[str, ...]:
        return (self.asks,)


@dataclass(frozen=True, kw_only=True)
class AssertFailed(Problem):
    """A constraint of the plan does not hold for the values that were resolved."""

    slug = "assert-failed"
    title: ClassVar[str] = "`{text}` does not hold"
    label: ClassVar[str] = "{values}"

    text: str
    values: str
    explained: tuple[str, ...]

    def helps(self) -> tuple[str, ...]:
        return tuple(
            f"`llamac explain FILE {path}` shows where it comes from" for path in self.explained
        )


@dataclass(frozen=True, kw_only=True)
class AssertUnknown(Problem):
    """An assert reads a path that is neither a field of the plan nor an estimate."""

    slug = "assert-unknown"
    title: ClassVar[str] = "nothing is called `{path}`"
    label: ClassVar[str] = "{nearest}"

    path: str
    nearest: str


@dataclass(frozen=True, kw_only=True)
class EstimateNotBuilt(Problem):
    """The language reserves this estimate (memory, time, price), but this version does not compute
    it. An assert on it is an error, because it would otherwise pass unseen.
    """

    slug = "estimate-not-built"
    title: ClassVar[str] = "there is no estimate of `{path}` yet"
    label: ClassVar[str] = "this assert cannot be checked"

    path: str

    def helps(self) -> tuple[str, ...]:
        return ("remove the assert, or assert on `parameters`, `dp` or another resolved value",)
