"""The base of all errors about two values that exclude each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class Contradiction(Problem):
    """The main label is on one of the two values; `other` is the template of the label on the
    second one.
    """

    other: ClassVar[str] = ""

    other_span: Span | None = None

    def secondary(self) -> tuple[Label, ...]:
        if self.other_span is None:
            return ()
        return (Label(self.other_span, self.other.format_map(self.facts())),)
