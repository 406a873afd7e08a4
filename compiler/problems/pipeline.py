"""Pipelines that cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction
from compiler.schedules import ScheduleKind
from dsl.diagnostics import Label, Problem
from dsl.source import Span

MOST_TERMS = 8
"""Terms of a sum that are all shown."""


@dataclass(frozen=True, kw_only=True)
class MicrobatchesAgainstStages(Problem):
    """A pipeline schedule cannot run this number of microbatches. One-forward-one-backward starts
    with one forward per stage, so it needs as many microbatches as stages; interleaved stages take
    theirs in equal rounds of about pp. GPipe runs any number.
    """

    slug = "microbatches-against-stages"
    title: ClassVar[str] = "the schedule cannot run {microbatches} microbatches on {pp} stages"
    label: ClassVar[str] = "{why}"

    microbatches: int
    pp: int
    schedule: ScheduleKind
    pp_span: Span | None

    @property
    def why(self) -> str:
        if self.schedule != "interleaved":
            return f"{self.schedule} starts with one forward per stage: at least {self.pp}"
        rounds = max(1, self.microbatches // self.pp)
        of_each = f"{self.microbatches / rounds:.4g}"
        return f"{self.microbatches} / {rounds} rounds of about pp {self.pp} = {of_each}"

    def secondary(self) -> tuple[Label, ...]:
        return () if self.pp_span is None else (Label(self.pp_span, f"{self.pp} stages"),)


@dataclass(frozen=True, kw_only=True)
class NoPipeline(Contradiction):
    """`stages` and `schedule` describe a pipeline, and with `pp = 1` there is none. A row that
    changes nothing is refused, because whoever wrote it expects that it does.
    """

    slug = "no-pipeline"
    title: ClassVar[str] = "`{field}` is set, but there is no pipeline"
    label: ClassVar[str] = "pp is 1, so the whole model is one stage"

    field: str


@dataclass(frozen=True, kw_only=True)
class MoreStagesThanLayers(Contradiction):
    """Every virtual stage needs something to run. The embedding and the head count as a layer each,
    so there are at most layers + 2 stages.
    """

    slug = "more-stages-than-layers"
    title: ClassVar[str] = "more virtual stages than layers to put on them"
    label: ClassVar[str] = "{arithmetic} stages, and {layers} layers + {ends} ends = {units}"
    other: ClassVar[str] = "{layers} layers"

    pp: int
    chunks: int
    layers: int
    ends: int

    @property
    def arithmetic(self) -> str:
        stages = self.pp * self.chunks
        return f"{self.pp} x {self.chunks} chunks = {stages}" if self.chunks > 1 else str(stages)

    @property
    def units(self) -> int:
        return self.layers + self.ends


@dataclass(frozen=True, kw_only=True)
class StagesAgainstPp(Contradiction):
    """`stages` lists the layers of every virtual stage in turn: pp of them, times the chunks of an
    interleaved schedule.
    """

    slug = "stages-against-pp"
    title: ClassVar[str] = "`stages` lists {found} stages, but there are {virtual}"
    label: ClassVar[str] = "pp {pp} x {chunks} per rank = {virtual}"
    other: ClassVar[str] = "{pp} ranks"

    found: int
    pp: int
    chunks: int

    @property
    def virtual(self) -> int:
        return self.pp * self.chunks


@dataclass(frozen=True, kw_only=True)
class StagesAgainstLayers(Contradiction):
    """The numbers in `stages` are layers, so they add up to the layers of the model, and none is
    negative. A stage may have none: the embedding or the head alone.
    """

    slug = "stages-against-layers"
    title: ClassVar[str] = "`stages` holds {held} layers, but the model has {layers}"
    label: ClassVar[str] = "{arithmetic}"
    other: ClassVar[str] = "{layers} layers"

    listed: tuple[int, ...]
    layers: int

    @property
    def held(self) -> int:
        return sum(self.listed)

    @property
    def arithmetic(self) -> str:
        """`1 + 2 + 3 = 6`; of a long list, the first and the last terms."""
        terms = [str(n) for n in self.listed]
        if len(terms) > MOST_TERMS:
            terms = [*terms[:4], "...", *terms[-3:]]
        return f"{' + '.join(terms)} = {self.held}"


@dataclass(frozen=True, kw_only=True)
class Zero3UnderPipeline(Contradiction):
    """`zero3` cuts parameters and gathers them again for each use. Under a pipeline every
    microbatch would gather the weights of its stage twice. `zero2` keeps them whole between the
    microbatches of a step, and still cuts gradients and optimizer state.
    """

    slug = "zero3-under-pipeline"
    title: ClassVar[str] = "`zero3` cannot be used under a pipeline"
    label: ClassVar[str] = "it would gather every stage's weights again for each microbatch"
    other: ClassVar[str] = "{pp} stages"

    pp: int
