"""The pipeline on one page: text -> Spec -> ModelGraph -> Plan -> RankProgram.

Every arrow is pure and typed; each result is a value, or the diagnostics that stand against it.
Emission (`backends.pytorch.emit`) reads a `Compiled` and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from compiler.asserts import check_asserts
from compiler.build_graph import build_graph
from compiler.estimates import Estimate, estimates
from compiler.fit import check_fit
from compiler.graph import ModelGraph
from compiler.lower import lower
from compiler.memory import memory
from compiler.plan import PhasePlan, Plan
from compiler.planner import check_model
from compiler.planner import plan as make_plan
from compiler.problems.plans import UnknownPlan
from compiler.rank_program import RankProgram
from compiler.schema import BLOCKS, PlanSpec
from compiler.well_formed import check
from dsl.diagnostics import Diagnostic, diagnose
from dsl.frontend import Loaded, Lookup, load
from dsl.source import Span
from dsl.spec import Assert, Origins, Spec
from dsl.suggest import closest


@dataclass(frozen=True)
class Compiled:
    """One plan through all phases. `programs[i]` is the rank program of `plan.phases[i]`."""

    graph: ModelGraph
    plan: Plan
    estimates: Mapping[str, Estimate]
    programs: tuple[RankProgram, ...]


@dataclass(frozen=True)
class Result:
    """`compiled` is None exactly when a diagnostic is an error."""

    compiled: Compiled | None
    diagnostics: tuple[Diagnostic, ...]


def read(
    path: str,
    lookup: Lookup,
    overrides: Sequence[tuple[str, str]] = (),
    root: str | None = None,
) -> Loaded:
    """parse, resolve, check: text -> Spec. No import leaves the folder `root`."""
    return load(path, lookup, BLOCKS, overrides, root)


def compile_named(spec: Spec, name: str) -> Result:
    """The plan called `name` of a Spec."""
    plan_spec = spec.all(PlanSpec)[name]
    return compile_plan(name, plan_spec, spec.origins, spec.asserts.get(name, ()))


def compile_plan(
    name: str, spec: PlanSpec, origins: Origins | None = None, asserts: tuple[Assert, ...] = ()
) -> Result:
    """build_graph, plan, check asserts, lower: Spec -> RankProgram.

    A spec made in memory (the twin's) has no origins: its diagnostics carry no spans.
    """
    origins = origins or Origins()
    refused = check_model(name, "model.", spec.model, origins)
    if refused:
        return Result(None, diagnose(refused))
    graph = build_graph(spec.model)
    plan, problems = make_plan(name, spec, graph, origins)
    if plan is None:
        return Result(None, diagnose(problems))
    clip = spec.train.clip
    programs = tuple(lower_phase(phase, graph, clip) for phase in plan.phases)
    for phase, program in zip(plan.phases, programs, strict=True):
        held = memory(phase, program)
        figures = {**estimates(graph, plan, phase), held.name: held}
        problems += check_asserts(plan, phase, figures, asserts)
        problems += check_fit(plan, phase, held, graph, origins)
    diagnostics = diagnose(problems)
    if any(problem.is_error for problem in problems):
        return Result(None, diagnostics)
    return Result(Compiled(graph, plan, estimates(graph, plan), programs), diagnostics)


def lower_phase(phase: PhasePlan, graph: ModelGraph, clip: float | None) -> RankProgram:
    """lower, and check that what it made is well formed."""
    program = lower(phase, graph, clip)
    check_lowered(phase, program)
    return program


def check_lowered(phase: PhasePlan, program: RankProgram) -> None:
    """Raises IllFormed where the parts of a program do not fit: a defect of the compiler."""
    sequences = phase.microbatch * phase.mesh.axis_size("dp")
    check(program, {"batch": sequences, "seq": phase.seq_len})


def programs(compiled: Compiled) -> tuple[Compiled, ...]:
    """One Compiled a program, in the order they run; its plan has the phases of that program.

    Phases with one mapping are one program; the next goes on from its checkpoints.
    """
    rest = iter(compiled.programs)
    return tuple(
        Compiled(
            compiled.graph,
            part,
            estimates(compiled.graph, part),
            tuple(islice(rest, len(part.phases))),
        )
        for part in compiled.plan.parts
    )


def choose_plan(spec: Spec, path: str, name: str | None) -> str | Diagnostic:
    """The plan asked for, or the only one; otherwise what to say of the file at `path`."""
    names = tuple(spec.all(PlanSpec))
    if name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    near = None if name is None else closest(name, names)
    first = near or next(iter(names), None)
    ordered = sorted(names, key=lambda each: each != first)
    spans = ((each, spec.origins.span(each, "")) for each in ordered)
    return UnknownPlan(
        span=Span(path, 0, 0) if first is None else spec.origins.span(first, ""),
        asked=name,
        near=near,
        names=names,
        spans=tuple((each, span) for each, span in spans if span is not None),
    ).diagnostic()
