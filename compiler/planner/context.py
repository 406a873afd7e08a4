"""Context: one plan being resolved; collects decisions and problems as it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from compiler.plan import Decision, Origin, Value
from compiler.schema import PlanSpec
from dsl.diagnostics import Problem
from dsl.source import Span
from dsl.spec import OriginKind, Origins

_ORIGIN: dict[OriginKind, Origin] = {
    OriginKind.WRITTEN: "written",
    OriginKind.OVERRIDDEN: "written",
    OriginKind.INHERITED: "inherited",
    OriginKind.DEFAULT: "default",
    OriginKind.DERIVED: "derived",
}


Errors = Counter[tuple[type[Problem], Span | None]]
"""How many errors of each kind a phase has at each place."""


def count_errors(problems: Iterable[Problem]) -> Errors:
    return Counter((type(one), one.span) for one in problems if one.is_error)


class Refused(Exception):
    """A later step needs a value that could not be resolved; the problems say why."""


@dataclass
class Context:
    """Mutable while one phase is resolved; `plan` freezes what it gathered. `spec` is the phase's
    own, and `phase` its name where the run has several. `attempt` says what is wrong with the phase
    were its spec another; None within such an attempt."""

    name: str
    spec: PlanSpec
    origins: Origins
    phase: str = ""
    attempt: Callable[[PlanSpec], Errors] | None = None
    decisions: list[Decision] = field(default_factory=list[Decision])
    problems: list[Problem] = field(default_factory=list[Problem])

    def span(self, path: str) -> Span | None:
        return self.origins.span(self.name, self.decisive(path))

    def origin(self, path: str) -> Origin:
        found = self.origins.get(self.name, self.decisive(path))
        return "default" if found is None else _ORIGIN[found.kind]

    def decisive(self, path: str) -> str:
        """The path as the phase writes it, where it does: `train.phase.long.seq_len`."""
        if not self.phase:
            return path
        block, _, row = path.partition(".")
        own = (
            f"train.phase.{self.phase}.{row}" if block == "train" else f"phase.{self.phase}.{path}"
        )
        found = self.origins.get(self.name, own)
        return path if found is None or found.kind is OriginKind.DEFAULT else own

    def decide(
        self, path: str, value: Value, origin: Origin, reason: str, runner_up: str = ""
    ) -> None:
        self.decisions.append(Decision(path, value, origin, reason, runner_up))

    def problem(self, problem: Problem) -> None:
        self.problems.append(problem)

    def has(self, problem: type[Problem]) -> bool:
        return any(isinstance(one, problem) for one in self.problems)

    def refuse_if_wrong(self) -> None:
        if any(problem.is_error for problem in self.problems):
            raise Refused
