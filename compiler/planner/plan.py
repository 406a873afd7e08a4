"""plan: one checked plan and its graph -> Plan, or the problems that stand against it."""

from __future__ import annotations

from compiler.graph import ModelGraph
from compiler.plan import PhasePlan, Plan
from compiler.planner.batch import resolve_batch
from compiler.planner.context import Context, Refused
from compiler.planner.cuts import resolve_cuts
from compiler.planner.mesh import device_kind, resolve_mesh
from compiler.schema import PlanSpec
from dsl.diagnostics import Diagnostic
from dsl.schema import Auto
from dsl.spec import Origins


def plan(
    name: str, spec: PlanSpec, graph: ModelGraph, origins: Origins
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """The plan is None exactly when a diagnostic is an error."""
    context = Context(name, spec, origins)
    try:
        phase = _phase(context, graph)
    except Refused:
        return None, tuple(context.diagnostics)
    return Plan(name, spec, (phase,)), tuple(context.diagnostics)


def _phase(context: Context, graph: ModelGraph) -> PhasePlan:
    mesh = resolve_mesh(context)
    batch = resolve_batch(context, mesh)
    cuts = resolve_cuts(context, mesh, graph, batch.seq_len)
    _compile(context)
    context.refuse_if_wrong()
    sharding = next(d.value for d in context.decisions if d.path == "sharding")
    return PhasePlan(
        name=batch.name,
        mesh=mesh,
        steps=batch.steps,
        seq_len=batch.seq_len,
        global_batch=batch.global_batch,
        microbatch=batch.microbatch,
        microbatches=batch.microbatches,
        loss_chunks=batch.loss_chunks,
        sharding="none" if sharding == "none" else "zero3",
        cuts=cuts,
        decisions=tuple(context.decisions),
    )


def _compile(context: Context) -> None:
    spec = context.spec
    if isinstance(spec.compile, Auto):
        kind = device_kind(spec.cluster.node)
        context.decide("compile", kind == "cuda", "default", f"on CUDA only; this is {kind}")
    else:
        context.decide("compile", spec.compile, context.origin("compile"), "torch.compile a layer")
