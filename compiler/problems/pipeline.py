"""Pipelines that cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem, Suggestion
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class MicrobatchesAgainstStages(Problem):
    """A pipeline schedule cannot run this number of microbatches. One-forward-one-backward starts
    with one forward a stage, so it needs as many microbatches as stages; interleaved stages take
    theirs in equal rounds of about pp. GPipe runs any number.
    """

    slug = "microbatches-against-stages"
    title: ClassVar[str] = "the schedule cannot run {microbatches} microbatches on {pp} stages"
    label: ClassVar[str] = "{why}"

    microbatches: int
    pp: int
    why: str
    choices: tuple[Suggestion, ...]
    pp_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return () if self.pp_span is None else (Label(self.pp_span, f"{self.pp} stages"),)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices
