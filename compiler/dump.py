"""Readable text of each form (graph, plan, rank program), for people and golden files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from compiler.graph import Block, Init, ModelGraph, Normal, Normaliser, Ones, Zeros
from compiler.operators import Operator
from compiler.plan import Plan
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Compute,
    Delegated,
    Fsdp,
    LocalValue,
    Pipeline,
    RankProgram,
    Region,
    Statement,
)

_NORMALISERS: dict[Normaliser, str] = {
    "valid tokens": "valid tokens of the global batch",
    "sequences": "sequences of the global batch",
    "step": "1, once per step",
}


def dump_graph(graph: ModelGraph) -> str:
    """Blocks with their operators, then how often each stands."""
    lines = [line for block in graph.blocks for line in _block(block)]
    return "\n".join([*lines, f"layers {_runs(graph)}", ""])


def dump_plan(plan: Plan) -> str:
    """Every phase's mesh, cuts and decisions."""
    lines: list[str] = []
    for phase in plan.phases:
        atoms = " x ".join(f"{atom.name} {atom.size}" for atom in phase.mesh.atoms) or "one rank"
        lines += [f"plan {plan.name}, phase {phase.name}: {atoms}"]
        for dim, atoms_of in phase.cuts:
            if atoms_of:
                lines.append(f"  cut {dim} over {' x '.join(atoms_of)}")
        rows = [(d.path, str(d.value), d.origin, d.reason) for d in phase.decisions]
        lines += _columns(rows)
    return "\n".join([*lines, ""])


def dump_rank_program(program: RankProgram) -> str:
    """Mesh, parameters, block programs, step, delegated nodes."""
    atoms = ", ".join(f"{atom.name} {atom.size}" for atom in program.mesh.atoms) or "one rank"
    lines = [f"mesh {atoms}", ""]
    for block in program.blocks:
        lines += [*_block_program(block), ""]
    lines += [f"layers {len(program.layers)}", "", *_step(program), ""]
    lines += [_delegated(node) for node in program.delegated]
    return "\n".join([*lines, ""])


def operator_text(operator: Operator) -> str:
    """Name, and the attributes that matter: `rms_norm[eps=1e-05]`."""
    fields = dataclasses.asdict(operator)
    if not fields:
        return operator.name
    return f"{operator.name}[{', '.join(f'{name}={value}' for name, value in fields.items())}]"


def _runs(graph: ModelGraph) -> str:
    """`0..31 layer`, or runs of kinds."""
    runs: list[str] = []
    start = 0
    for index, kind in enumerate(graph.layers):
        is_last = index + 1 == len(graph.layers) or graph.layers[index + 1] != kind
        if is_last:
            span = f"{start}..{index}" if index > start else f"{index}"
            runs.append(f"{span}: {graph.kinds[kind].name}")
            start = index + 1
    return ", ".join(runs)


def _init(init: Init) -> str:
    match init:
        case Normal(std=std):
            return f"normal({std})"
        case Ones():
            return "ones"
        case Zeros():
            return "zeros"


def _block(block: Block) -> Iterator[str]:
    sizes = ", ".join(f"{dim} {size}" for dim, size in block.sizes.items())
    yield f"block {block.name}   ({sizes})"
    for value in block.inputs:
        yield f"  input {value.name} [{', '.join(value.dims)}]"
    for parameter in block.parameters:
        tied = f" tied to {parameter.tied_to}" if parameter.tied_to else ""
        dims = ", ".join(parameter.dims)
        yield f"  parameter {parameter.name} [{dims}] {_init(parameter.init)}{tied}"
    for node in block.nodes:
        made = ", ".join(value.name for value in node.outputs)
        call = f"{operator_text(node.operator)}({', '.join(node.inputs)})"
        dims = ", ".join(f"[{', '.join(value.dims)}]" for value in node.outputs)
        yield f"  {made} = {call}   {dims}"
    for loss in block.losses:
        yield f"  loss {loss.value} / {_NORMALISERS[loss.normaliser]}"
    yield ""


def _block_program(block: BlockProgram) -> Iterator[str]:
    yield f"block {block.name}"
    for value in block.inputs:
        yield f"  input {_value(value)}"
    rows = [
        (
            f"parameter {parameter.name}",
            f"[{', '.join(str(size) for size in parameter.shape)}]",
            str(parameter.layout),
            f"gradient P on {' x '.join(parameter.gradient_sums)}"
            if parameter.gradient_sums
            else "gradient whole",
            f"tied to {parameter.tied_to}" if parameter.tied_to else "",
        )
        for parameter in block.parameters
    ]
    yield from _columns(rows)
    yield from _columns([row for statement in block.statements for row in _statement(statement)])
    for loss in block.losses:
        if loss.value.name != block.output.name:  # the stream goes on beside it
            yield f"  loss {loss.value.name} / {_NORMALISERS[loss.normaliser]}"


def _value(value: LocalValue) -> str:
    return f"{value.name} [{', '.join(value.dims)}] {value.layout} {_precision(value)}".rstrip()


def _precision(value: LocalValue) -> str:
    """Named where it is not the compute dtype."""
    return "" if value.precision == "compute" else value.precision


def _statement(statement: Statement, indent: str = "") -> Iterator[tuple[str, ...]]:
    made = ", ".join(value.name for value in statement.outputs)
    where = (
        "; ".join(str(value.layout) for value in statement.outputs),
        "; ".join(dict.fromkeys(value.kept.value for value in statement.outputs)),
        "; ".join(dict.fromkeys(map(_precision, statement.outputs))),
    )
    match statement:
        case Compute(operator=operator, inputs=inputs):
            yield f"{indent}{made} = {operator_text(operator)}({', '.join(inputs)})", *where
            for value in statement.beside:
                text = f"{indent}  beside {value.name} [{', '.join(value.dims)}]"
                yield text, str(value.layout), value.kept.value, _precision(value)
        case Collective(pair=pair, axis=axis, dim=dim, inputs=inputs):
            arguments = ", ".join(part for part in (*inputs, axis, dim) if part)
            yield f"{indent}{made} = {pair}({arguments})", *where
        case Region(name=name, dim=dim, chunks=chunks):
            yield f"{indent}{name}: {chunks} pieces along {dim}, recomputed, summed", "", "", ""
            for line in statement.statements:
                yield from _statement(line, indent + "  ")


def _step(program: RankProgram) -> Iterator[str]:
    step = program.step
    yield "step"
    yield f"  valid = all_reduce(count(targets), {' x '.join(step.count_over) or 'nothing'})"
    yield f"  {step.microbatches} microbatches forward and backward, loss = sum / valid"
    for total in step.gradient_sums:
        yield f"  all_reduce(gradients P on {total.axis}), coalesced: {_names(total.parameters)}"
    for tied in step.tied_sums:
        yield f"  gradients over first and last stage: {_names(tied.parameters)}"
    for group in step.norm:
        over = " x ".join(group.atoms) or "nothing"
        yield f"  squares over {over}: {_names(group.parameters)}"
    yield f"  finite check; clip {step.clip}; optimizer; schedule"
    for update in step.row_updates:
        over = " x ".join(update.atoms)
        yield f"  all_gather(updated rows, {over}): {_names(update.parameters)}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _delegated(node: Delegated) -> str:
    match node:
        case Fsdp():
            return (
                f"Fsdp(units = {_names(node.units)}; shard = {_names(node.shard) or 'nothing'}; "
                f"replicate = {_names(node.replicate) or 'nothing'}; reduce = {node.reduce}; "
                f"when = {node.when})"
            )
        case Pipeline(schedule=schedule, stages=stages, microbatches=microbatches):
            layers = _names(str(n) for n in stages)
            return f"Pipeline({schedule}, stages = {layers}, microbatches = {microbatches})"
        case Checkpoint(block=block, policy=policy):
            return f"Checkpoint({block}, {policy})"


def _columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
