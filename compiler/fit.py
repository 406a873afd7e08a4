"""Whether what a rank holds fits its device: a warning with the sum, and edits that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.estimates import Estimate
from compiler.graph import ModelGraph
from compiler.lower import lower
from compiler.memory import memory
from compiler.plan import PhasePlan, Plan
from compiler.planner import plan as make_plan
from compiler.planner.choices import with_rows
from compiler.problems.run import DoesNotFit
from compiler.schema import PlanSpec
from compiler.schema.cluster import GpuNode
from compiler.schema.plan import OneFOneB
from dsl.diagnostics import Problem, Suggestion
from dsl.schema import AUTO
from dsl.spec import Origins
from dsl.spelled import spelled
from dsl.suggestions import suggest

GIB = 2**30
OFFERED = 2
CHEAP = ("swiglu", "geglu", "rms_norm")
"""Operators that cost next to nothing to compute again."""


def check_fit(
    plan: Plan, phase: PhasePlan, held: Estimate, graph: ModelGraph, origins: Origins
) -> tuple[Problem, ...]:
    """A warning where the largest stage of a phase is larger than the device. Nodes of CPUs have
    no figure to compare with."""
    node = phase.spec.cluster.node
    if not isinstance(node, GpuNode) or held.value <= node.accelerator.memory:
        return ()
    stage = max(held.children, key=lambda one: one.value)
    place = f"phase {phase.name}, " if len(plan.phases) > 1 else ""
    place += f"{stage.name.replace('_', ' ')}: " if len(held.children) > 1 else ""
    largest = sorted(stage.children, key=lambda part: -part.value)
    parts = " + ".join(f"{p.name} {p.value / GIB:.1f}" for p in largest if p.value >= GIB / 20)
    problem = DoesNotFit(
        span=origins.span(plan.name, ""),
        needed=held.value / GIB,
        device=node.accelerator.name,
        has=node.accelerator.memory / GIB,
        place=place,
        parts=parts,
        choices=_choices(plan, phase, graph, origins, node.accelerator.memory),
        device_span=origins.span(plan.name, "cluster.node"),
    )
    return (problem,)


def _choices(
    plan: Plan, phase: PhasePlan, graph: ModelGraph, origins: Origins, limit: float
) -> tuple[Suggestion, ...]:
    """The first candidates with which the whole plan fits; none for a run of several phases, where
    a change for one is paid by all."""
    if len(plan.phases) > 1:
        return ()
    found: list[Suggestion] = []
    for rows in _candidates(phase, graph):
        need = _need(plan, with_rows(plan.spec, rows), graph)
        if need is not None and need <= limit:
            texts = {path: spelled(value) for path, value in rows.items()}
            remark = f"{need / GIB:.1f} GiB"
            found.append(suggest(origins, plan.name, texts, remark))
        if len(found) == OFFERED:
            break
    return tuple(found)


def _candidates(phase: PhasePlan, graph: ModelGraph) -> Iterator[Mapping[str, object]]:
    """Changes that keep what is learnt, those that cost least time first."""
    spec = phase.spec
    known = {node.operator.name for kind in graph.kinds for node in kind.nodes}
    cheap = tuple(name for name in CHEAP if name in known)
    cut = {"fsdp": AUTO, "sharding": AUTO}
    full = {"recompute": "full"}
    one_stage = {"schedule": OneFOneB()}
    tried: list[Mapping[str, object]] = [cut, {"recompute": cheap}, {"microbatch": 1}, full]
    if spec.pp > 1:
        tried += [one_stage, {**one_stage, "recompute": cheap}, {**one_stage, **full}]
    tried.append({**cut, **full, "microbatch": 1})
    if spec.cluster.node.devices % (2 * spec.tp) == 0:
        tried.append({"tp": 2 * spec.tp, **full})
    for rows in tried:
        changed = {path: value for path, value in rows.items() if getattr(spec, path) != value}
        if changed:
            yield changed


def _need(plan: Plan, spec: PlanSpec, graph: ModelGraph) -> float | None:
    """Bytes of the largest rank; None where the spec is no plan."""
    made, _ = make_plan(plan.name, spec, graph, Origins())
    if made is None:
        return None
    clip = spec.train.clip
    return max(memory(phase, lower(phase, graph, clip)).value for phase in made.phases)
