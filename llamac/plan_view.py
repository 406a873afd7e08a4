"""A plan as `llamac plan` shows it: a table for people, and JSON whose keys are a contract.

Keys (SI base units), beside those of `plan.json`: `parameters.total`, `parameters.active`,
`flops_per_token`, `layout`, `memory.stages[]`: a tree of estimates each. A figure that this version
doesn't compute has no key.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.estimates import Estimate, as_dict
from compiler.memory import memory
from compiler.pipeline import Compiled
from compiler.plan import Decision, PhasePlan
from compiler.plan_json import phase_dict, plan_json
from compiler.stages import stage_parameters, stages
from llamac.sizes import size_text

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
        "memory": memory_json(compiled, plan.phases.index(plan.main)),
        "phases": [
            {**phase_dict(phase), "layout": layout(phase), "memory": memory_json(compiled, i)}
            for i, phase in enumerate(plan.phases)
        ],
    }


def memory_of(compiled: Compiled, index: int) -> Estimate:
    """Bytes of one rank of each pipeline stage, in one phase."""
    phase, program = compiled.plan.phases[index], compiled.programs[index]
    return memory(phase, program)


def memory_json(compiled: Compiled, index: int) -> dict[str, object]:
    return {"stages": [as_dict(stage) for stage in memory_of(compiled, index).children]}


def layout(phase: PhasePlan) -> dict[str, object]:
    """Ranks per axis; an axis without a decision has one rank."""
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
        f"{figures['flops_per_token'].value:,.4g} FLOPs per token, "
        f"{figures['tokens'].value:,.0f} tokens in total",
    ]
    if len(plan.phases) > 1:
        parts = (", ".join(phase.name for phase in part.phases) for part in plan.parts)
        lines.append(f"  a program for phases {'; one for '.join(parts)}")
    for index, phase in enumerate(plan.phases):
        lines += ["", *_phase_lines(phase), "", *_memory_lines(compiled, index)]
    return "\n".join(lines) + "\n"


def _phase_lines(phase: PhasePlan) -> Iterator[str]:
    atoms = " x ".join(f"{atom.name} {atom.size}" for atom in phase.mesh.atoms) or "one process"
    yield (
        f"  phase {phase.name}: {phase.steps:,} steps of {phase.global_batch:,} sequences of "
        f"{phase.seq_len:,} tokens, on a mesh of {atoms}"
    )
    rows = [(d.path, d.text, d.origin, _reason(d)) for d in phase.decisions]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {'  '.join(cells)}".rstrip()


def _memory_lines(compiled: Compiled, index: int) -> Iterator[str]:
    """Stages alike share a line. Of libraries, communicators and the allocator nothing is known."""
    phase, program = compiled.plan.phases[index], compiled.programs[index]
    yield "    memory per rank, without the overhead of libraries"
    held = (stage_parameters(stage, program) for stage in stages(phase, program))
    parts = [stage.children for stage in memory_of(compiled, index).children]
    names = [part.name for part in parts[0]]
    rows: dict[tuple[str, ...], list[int]] = {}
    for number, (count, terms) in enumerate(zip(held, parts, strict=True)):
        values = [*(term.value for term in terms), sum(term.value for term in terms)]
        cells = (f"{count:,}", *(size_text(value) for value in values))
        rows.setdefault(cells, []).append(number)
    head = ("", "held", *names, "total")
    table = [head, *((_stages_text(numbers), *cells) for cells, numbers in rows.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *rest in table:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield f"    {first.ljust(widths[0])}  {'  '.join(cells)}"


def _stages_text(numbers: list[int]) -> str:
    """`stage 0`, `stages 1..14`, `stages 1, 3`."""
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"stage {first}"
    if numbers == list(range(first, last + 1)):
        return f"stages {first}..{last}"
    return f"stages {', '.join(map(str, numbers))}"


def _reason(decision: Decision) -> str:
    runner_up = f"; runner-up: {decision.runner_up}" if decision.runner_up else ""
    return decision.reason + runner_up
