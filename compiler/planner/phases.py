"""The phases of a run: of each, the plan's spec as it stands for that phase alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

from compiler.problems.run import UnknownPhase
from compiler.schema import PlanSpec, TrainSpec
from compiler.schema.plan import PlanPhase
from compiler.schema.train import PhaseSpec
from dsl.schema import Named
from dsl.spec import Origins

ONLY = "main"
"""What the phase of a run without phases is called."""


@dataclass(frozen=True)
class Phase:
    """`spec` has no phases left: what the phase changes stands in its rows."""

    name: str
    spec: PlanSpec


def phases_of(spec: PlanSpec) -> tuple[Phase, ...]:
    """In the order they run."""
    whole = replace(spec, phase=Named(), train=replace(spec.train, phase=Named()))
    refined = dict(spec.phase.items)
    return tuple(
        Phase(name, _refined(whole, phase, refined.get(name, PlanPhase())))
        for name, phase in spec.train.phase.items
    ) or (Phase(ONLY, whole),)


def unknown_phases(name: str, spec: PlanSpec, origins: Origins) -> tuple[UnknownPhase, ...]:
    """Refinements of phases that the run does not have."""
    known = tuple(phase for phase, _ in spec.train.phase.items)
    return tuple(
        UnknownPhase(
            span=origins.span(name, f"phase.{phase}"),
            phase=phase,
            known=known,
            train_span=origins.span(name, "train.phase"),
        )
        for phase, _ in spec.phase.items
        if phase not in known
    )


def _refined(spec: PlanSpec, train: PhaseSpec, plan: PlanPhase) -> PlanSpec:
    return replace(spec, train=_train(spec.train, train), **_written(plan))


def _train(train: TrainSpec, phase: PhaseSpec) -> TrainSpec:
    """A phase that says its length, in steps or tokens, does not take the run's."""
    written = _written(phase)
    if written.keys() & {"steps", "tokens"}:
        written = {"steps": None, "tokens": None, **written}
    return replace(train, **written)


def _written(refinement: PhaseSpec | PlanPhase) -> dict[str, object]:
    """Rows of a refinement have the names of those they replace; None leaves one as it is."""
    rows = {field.name: getattr(refinement, field.name) for field in dataclasses.fields(refinement)}
    return {name: value for name, value in rows.items() if value is not None}
