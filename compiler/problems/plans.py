"""Plans that are not there, and asserts that do not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem
from dsl.source import Span

MAXIMUM_LABELS = 8


@dataclass(frozen=True, kw_only=True)
class UnknownPlan(Problem):
    """A command that makes a program needs a plan. The file has no plan, or none of this name, or
    it has several and the command names none. `check` accepts files without a plan, because other
    files may import them.
    """

    slug = "unknown-plan"
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "{remark}"

    asked: str | None
    near: str | None  # the plan whose name is most like it
    names: tuple[str, ...]
    spans: tuple[tuple[str, Span], ...] = ()  # of the plans in the file, the labelled one first

    @property
    def what(self) -> str:
        if self.asked:
            return f"the file has no plan `{self.asked}`"
        if self.names:
            return f"the file has {len(self.names)} plans, and none was named"
        return "the file has no plan"

    @property
    def remark(self) -> str:
        if self.near:
            return f"did you mean `{self.near}`?"
        return f"plan `{self.names[0]}`" if self.names else "there is no `plan` block in it"

    def secondary(self) -> tuple[Label, ...]:
        others = tuple(Label(span, f"plan `{name}`") for name, span in self.spans[1:])
        return others[:MAXIMUM_LABELS]

    def helps(self) -> tuple[str, ...]:
        if self.names:
            return (f"name one of: {', '.join(self.names)}",)
        return ("write `plan NAME { model = ..., cluster = ..., train = ... }`",)


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
    near: str | None

    @property
    def nearest(self) -> str:
        if self.near:
            return f"did you mean `{self.near}`?"
        return "see `llamac plan` for what there is"


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
