"""Stages of the pipeline: which virtual stage runs how many layers, and in which schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from compiler.planner.context import Context
from compiler.planner.numbers import divisors, nearest
from compiler.problems import Contradiction, DoesNotDivide
from compiler.schedules import ScheduleKind
from compiler.schema.plan import Gpipe, Interleaved, OneFOneB
from dsl.schema import Auto

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
    reason = f"{virtual} virtual stages, {chunks} a rank" if chunks > 1 else f"{virtual} stages"
    context.decide("schedule", schedule, context.origin("schedule"), reason)
    if isinstance(spec.stages, Auto):
        layers, origin = balanced(spec.model.layers, virtual), "derived"
        if layers is None:
            _too_many(context, virtual)
            return Stages(schedule, chunks, ())
        reason = "layers, with embedding and head weighing one each, spread evenly"
    else:
        layers, origin, reason = spec.stages, context.origin("stages"), "layers of each stage"
        _check_written(context, layers, virtual, chunks)
    context.decide("stages", layers, origin, reason)
    return Stages(schedule, chunks, layers)


def balanced(layers: int, virtual: int) -> tuple[int, ...] | None:
    """layers + 2 units over the stages, the larger shares last (early stages hold more
    microbatches in flight); the first and the last give one unit to embedding and head."""
    share, larger = divmod(layers + ENDS, virtual)
    if share == 0:
        return None
    units = [share + (stage >= virtual - larger) for stage in range(virtual)]
    units[0] -= 1
    units[-1] -= 1
    return tuple(units)


def check_microbatches(context: Context, stages: Stages, microbatches: int) -> None:
    """Interleaved stages take their microbatches in equal rounds of about pp."""
    pp = context.spec.pp
    rounds = max(1, microbatches // pp)
    if pp > 1 and stages.schedule == "interleaved" and microbatches % rounds:
        legal = [n for n in range(1, 4 * microbatches) if n % max(1, n // pp) == 0]
        near = nearest(microbatches, legal)
        context.problem(
            DoesNotDivide(
                span=context.span("schedule"),
                what="microbatches",
                of="the rounds of an interleaved schedule",
                size=microbatches,
                parts=rounds,
                choices=tuple(f"a global_batch of {n} microbatches a rank" for n in near),
                other_span=context.span("pp"),
                other=f"{microbatches} microbatches over pp {pp}: {rounds} rounds",
            )
        )


def _no_pipeline(context: Context, schedule: ScheduleKind) -> Stages:
    spec = context.spec
    for field, written in (("stages", spec.stages), ("schedule", spec.schedule)):
        if not isinstance(written, Auto | OneFOneB):
            context.problem(
                Contradiction(
                    span=context.span(field),
                    what=f"`{field}` is written, and there is no pipeline",
                    why="pp is 1: remove this, or write `pp`",
                )
            )
    return Stages(schedule, 1, (spec.model.layers,))


def _too_many(context: Context, virtual: int) -> None:
    layers = context.spec.model.layers
    legal = [n for n in divisors(layers + ENDS) if n <= layers + ENDS]
    context.problem(
        Contradiction(
            span=context.span("pp"),
            what="more virtual stages than layers to put on them",
            why=f"{virtual} stages for {layers} layers and two ends; "
            f"{' or '.join(str(n) for n in nearest(virtual, legal))} would divide evenly",
            other_span=context.span("model.layers"),
            other=f"{layers} layers",
        )
    )


def _check_written(context: Context, layers: tuple[int, ...], virtual: int, chunks: int) -> None:
    total = context.spec.model.layers
    if len(layers) != virtual:
        context.problem(
            Contradiction(
                span=context.span("stages"),
                what=f"`stages` lists {len(layers)} stages, and there are {virtual}",
                why=f"pp {context.spec.pp} x {chunks} chunks = {virtual}",
                other_span=context.span("pp"),
                other=f"{context.spec.pp} ranks",
            )
        )
    elif sum(layers) != total or min(layers) < 0:
        context.problem(
            Contradiction(
                span=context.span("stages"),
                what=f"`stages` hold {sum(layers)} layers, and the model has {total}",
                why=f"{' + '.join(str(n) for n in layers)} = {sum(layers)}"[:90],
                other_span=context.span("model.layers"),
                other=f"{total} layers",
            )
        )
