"""A plan as `llamac plan` shows it: a table for people, and JSON whose keys are a contract.

Keys (SI base units), beside those of `plan.json`: `parameters.total`, `parameters.active`,
`flops_per_token`, `layout`. A figure that this version doesn't compute has no key.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.pipeline import Compiled
from compiler.plan import Decision, PhasePlan
from compiler.plan_json import phase_dict, plan_json

AXES = ("dp", "fsdp", "tp", "pp", "cp", "ep", "etp")


def as_json(compiled: Compiled) -> dict[str, object]:
    """One plan; the top level shows the phase with most tokens."""
    plan, figures = compiled.plan, compiled.estimates
    total = _number(figures["parameters"].value)
    return {
        **plan_json(compiled),
        # Every parameter of a dense model is active for every token.
        "parameters": {"total": total, "active": total},
        "flops_per_token": _number(figures["flops_per_token"].value),
        "layout": layout(plan.main),
        "phases": [{**phase_dict(phase), "layout": layout(phase)} for phase in plan.phases],
    }


def layout(phase: PhasePlan) -> dict[str, object]:
    """How the run is spread. Axes that no decision is about have one rank."""
    resolved = {decision.path: decision.value for decision in phase.decisions}
    return {
        **{axis: resolved.get(axis, 1) for axis in AXES},
        "microbatch": phase.microbatch,
        "microbatches": phase.microbatches,
        "schedule": resolved.get("schedule", "one_f_one_b"),
        "chunks": resolved.get("chunks", 1),
        "recompute": resolved.get("recompute", "none"),
        "sharding": phase.sharding,
    }


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def as_text(compiled: Compiled) -> str:
    """For people: what is trained, how long, and every decision with its reason."""
    plan, figures = compiled.plan, compiled.estimates
    lines = [
        f"plan {plan.name}",
        f"  {figures['parameters'].value:,.0f} parameters, "
        f"{figures['flops_per_token'].value:,.4g} FLOP a token, "
        f"{figures['tokens'].value:,.0f} tokens in all",
    ]
    for phase in plan.phases:
        lines += ["", *_phase_lines(phase)]
    return "\n".join(lines) + "\n"


def _phase_lines(phase: PhasePlan) -> Iterator[str]:
    atoms = " x ".join(f"{atom.name} {atom.size}" for atom in phase.mesh.atoms) or "one process"
    yield (
        f"  phase {phase.name}: {phase.steps:,} steps of {phase.global_batch:,} sequences of "
        f"{phase.seq_len:,} tokens, on a mesh of {atoms}"
    )
    rows = [(d.path, _text(d), d.origin, _reason(d)) for d in phase.decisions]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {'  '.join(cells)}".rstrip()


def _text(decision: Decision) -> str:
    value = decision.value
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _reason(decision: Decision) -> str:
    runner_up = f"; runner-up: {decision.runner_up}" if decision.runner_up else ""
    return decision.reason + runner_up
