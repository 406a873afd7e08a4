"""Stages of the pipeline: which virtual stage runs how many layers, and in which schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from compiler.planner.choices import offer
from compiler.planner.context import Context
from compiler.planner.numbers import divisors, nearest, nearest_first
from compiler.problems.pipeline import (
    MicrobatchesAgainstStages,
    MoreStagesThanLayers,
    NoPipeline,
    StagesAgainstLayers,
    StagesAgainstPp,
)
from compiler.schedules import ScheduleKind
from compiler.schema.plan import Gpipe, Interleaved, OneFOneB
from dsl.diagnostics import Suggestion
from dsl.schema import AUTO, Auto, Count

ENDS = 2
"""Embedding and head each weigh about a layer (Llama 3: 126 layers and two ends on 128 stages)."""


@dataclass(frozen=True)
class Stages:
    schedule: ScheduleKind
    chunks: int
    layers: tuple[int, ...]


def resolve_stages(context: Context) -> Stages:
    """`layers[s]` layers run on virtual stage s; stage s lives on rank s mod pp."""
    spec = context.spec
    match spec.schedule:
        case Gpipe():
            schedule, chunks = "gpipe", 1
        case OneFOneB():
            schedule, chunks = "one_f_one_b", 1
        case Interleaved(chunks=chunks):
            schedule = "interleaved"
        case _:
            assert_never(spec.schedule)
    if spec.pp == 1:
        return _no_pipeline(context, schedule)
    virtual = spec.pp * chunks
    reason = f"{virtual} virtual stages, {chunks} per rank" if chunks > 1 else f"{virtual} stages"
    context.decide("schedule", schedule, context.origin("schedule"), reason)
    if isinstance(spec.stages, Auto):
        layers, origin = balanced(spec.model.layers, virtual), "derived"
        if layers is None:
            _too_many(context, virtual)
            return Stages(schedule, chunks, ())
        alike = len(set(layers)) == 1
        reason = "layers, with embedding and head weighing one each, spread evenly"
        reason = "the layers divide evenly" if alike else reason
    else:
        layers, origin, reason = spec.stages, context.origin("stages"), "layers of each stage"
        _check_written(context, layers, virtual, chunks)
    context.decide("stages", layers, origin, reason)
    return Stages(schedule, chunks, layers)


def balanced(layers: int, virtual: int) -> tuple[int, ...] | None:
    """Layers of each stage: all alike where they divide, as Megatron and torchtitan have it. No
    other split has a smaller largest stage then, embedding and head weighing a layer each.

    Else layers + 2 units, the larger shares last (early stages hold more microbatches in flight);
    the first and the last give one unit to embedding and head."""
    if layers % virtual == 0:
        return (layers // virtual,) * virtual
    share, larger = divmod(layers + ENDS, virtual)
    if share == 0:
        return None
    units = [share + (stage >= virtual - larger) for stage in range(virtual)]
    units[0] -= 1
    units[-1] -= 1
    return tuple(units)


def check_microbatches(context: Context, stages: Stages, microbatches: int, at_once: int) -> None:
    """What a schedule can run. `at_once` are the sequences of one microbatch of all ranks."""
    pp = context.spec.pp
    if pp == 1 or _runs(stages.schedule, pp, microbatches):
        return
    legal = [n for n in range(1, 2 * microbatches + pp) if _runs(stages.schedule, pp, n)]
    context.problem(
        MicrobatchesAgainstStages(
            span=context.span("train.global_batch"),
            microbatches=microbatches,
            pp=pp,
            schedule=stages.schedule,
            choices=_run_choices(context, stages, nearest(microbatches, legal), at_once),
            pp_span=context.span("pp"),
        )
    )


def _run_choices(
    context: Context, stages: Stages, legal: tuple[int, ...], at_once: int
) -> tuple[Suggestion, ...]:
    """Batches of so many microbatches, or the schedule that runs any number."""
    batches = (Count(n * at_once, "sequences") for n in legal)
    larger = offer(context, *({"train.global_batch": batch} for batch in batches))
    if stages.schedule != "one_f_one_b":
        return larger
    return (*larger, *offer(context, {"schedule": Gpipe()}))


def _runs(schedule: ScheduleKind, pp: int, microbatches: int) -> bool:
    """Interleaved stages take their microbatches in equal rounds of about pp."""
    match schedule:
        case "gpipe":
            return True
        case "one_f_one_b":
            return microbatches >= pp
        case "interleaved":
            return microbatches % max(1, microbatches // pp) == 0
        case _:
            assert_never(schedule)


def _no_pipeline(context: Context, schedule: ScheduleKind) -> Stages:
    spec = context.spec
    for field, written, default in (
        ("stages", spec.stages, AUTO),
        ("schedule", spec.schedule, OneFOneB()),
    ):
        if not isinstance(written, Auto | OneFOneB) and written != (spec.model.layers,):
            context.problem(
                NoPipeline(
                    span=context.span(field), field=field, choices=offer(context, {field: default})
                )
            )
    return Stages(schedule, 1, (spec.model.layers,))


def _too_many(context: Context, virtual: int) -> None:
    layers, pp = context.spec.model.layers, context.spec.pp
    chunks = virtual // pp
    legal = [n for n in divisors(layers + ENDS) if 1 < n * chunks <= layers + ENDS]
    context.problem(
        MoreStagesThanLayers(
            span=context.span("pp"),
            pp=pp,
            chunks=chunks,
            layers=layers,
            ends=ENDS,
            other_span=context.span("model.layers"),
            choices=offer(context, *({"pp": n} for n in nearest_first(pp, legal))),
        )
    )


def _check_written(context: Context, layers: tuple[int, ...], virtual: int, chunks: int) -> None:
    total = context.spec.model.layers
    if len(layers) != virtual:
        context.problem(
            StagesAgainstPp(
                span=context.span("stages"),
                found=len(layers),
                pp=virtual // chunks,
                chunks=chunks,
                other_span=context.span("pp"),
                choices=offer(context, {"stages": AUTO}),
            )
        )
    elif sum(layers) != total or min(layers) < 0:
        context.problem(
            StagesAgainstLayers(
                span=context.span("stages"),
                listed=layers,
                layers=total,
                other_span=context.span("model.layers"),
                choices=offer(context, {"stages": AUTO}),
            )
        )
