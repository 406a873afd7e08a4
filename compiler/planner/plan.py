"""plan: one checked plan and its graph -> Plan, or the problems that stand against it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import TypeVar

from compiler.graph import ModelGraph
from compiler.plan import Before, PhasePlan, Plan
from compiler.planner.batch import (
    check_schedule,
    one_loss_chunk,
    resolve_microbatches,
    resolve_run,
)
from compiler.planner.context import Context, Errors, Refused, count_errors
from compiler.planner.cuts import check_cuts, check_heads, resolve_cuts
from compiler.planner.launch import check_launch
from compiler.planner.mesh import device_kind, resolve_mesh
from compiler.planner.phases import phases_of, unknown_phases
from compiler.planner.recompute import resolve_recompute
from compiler.planner.sharding import resolve_groups
from compiler.planner.stages import check_microbatches, resolve_stages
from compiler.planner.start import check_start
from compiler.problems.mesh import MeshMismatch
from compiler.schema import PlanSpec
from dsl.diagnostics import Problem
from dsl.schema import Auto
from dsl.spec import Origins

T = TypeVar("T")


def plan(
    name: str, spec: PlanSpec, graph: ModelGraph, origins: Origins
) -> tuple[Plan | None, tuple[Problem, ...]]:
    """The plan is None exactly when a problem is an error. What several phases share may be among
    the problems several times."""
    whole = Context(name, spec, origins)
    check_launch(whole)
    found = [*unknown_phases(name, spec, origins), *whole.problems]
    resolved: list[PhasePlan] = []
    named = bool(spec.train.phase.items)
    for phase in phases_of(spec):
        label = phase.name if named else ""
        attempt = partial(_errors, name, graph, origins, phase.name, label, tuple(resolved))
        context = Context(name, phase.spec, origins, label, attempt)
        with suppress(Refused):
            resolved.append(_phase(context, graph, phase.name, resolved))
        found += context.problems
    if any(problem.is_error for problem in found):
        return None, tuple(found)
    steps = resolved[-1].last_step
    context = Context(name, spec, origins)
    check_schedule(context, steps)
    found += context.problems
    if context.problems:
        return None, tuple(found)
    block = math.lcm(*(phase.seq_len for phase in resolved))
    done = Plan(name, spec, tuple(resolved), steps, block)
    phases = chain(*(one_loss_chunk(part.phases) for part in done.parts))
    return replace(done, phases=tuple(phases)), tuple(found)


def _phase(
    context: Context, graph: ModelGraph, name: str, before: Sequence[PhasePlan]
) -> PhasePlan:
    """Steps that do not need each other all report before the first that does gives up."""
    ranks = _attempt(resolve_mesh, context)
    run = _attempt(resolve_run, context)
    stages = resolve_stages(context)
    check_heads(context)
    check_start(context)
    if not context.has(MeshMismatch):  # a wrong tp or cp would be reported again for all it divides
        check_cuts(context, graph, run.seq_len if run else None)
    _compile(context)
    recompute = resolve_recompute(context, graph)
    if ranks is None or run is None:
        raise Refused
    shares = resolve_microbatches(context, ranks.mesh, run)
    check_microbatches(context, stages, shares.count, run.global_batch // shares.count)
    context.refuse_if_wrong()
    return PhasePlan(
        name=name,
        spec=context.spec,
        before=_before(before, run.seq_len),
        mesh=ranks.mesh,
        steps=run.steps,
        seq_len=run.seq_len,
        global_batch=run.global_batch,
        microbatch=shares.microbatch,
        microbatches=shares.count,
        loss_chunks=shares.loss_chunks,
        sharding=ranks.sharding,
        recompute=recompute,
        schedule=stages.schedule,
        stages=stages.layers,
        cuts=resolve_cuts(ranks.mesh),
        groups=resolve_groups(ranks.mesh, ranks.sharding),
        decisions=tuple(context.decisions),
    )


def _errors(
    name: str,
    graph: ModelGraph,
    origins: Origins,
    phase: str,
    label: str,
    before: Sequence[PhasePlan],
    spec: PlanSpec,
) -> Errors:
    """What is wrong with the phase if this is its spec: how a help is tried before it is given."""
    context = Context(name, spec, origins, label)
    with suppress(Refused):
        _phase(context, graph, phase, before)
    return count_errors(context.problems)


def _before(phases: Sequence[PhasePlan], seq_len: int) -> Before:
    if not phases:
        return Before()
    return Before(phases[-1].last_step, -(-phases[-1].end_token // seq_len))


def _attempt(resolve: Callable[[Context], T], context: Context) -> T | None:
    try:
        return resolve(context)
    except Refused:
        return None


def _compile(context: Context) -> None:
    spec = context.spec
    if isinstance(spec.compile, Auto):
        kind = device_kind(spec.cluster.node)
        context.decide("compile", kind == "cuda", "default", f"on CUDA only; this is {kind}")
    else:
        context.decide("compile", spec.compile, context.origin("compile"), "torch.compile a layer")
