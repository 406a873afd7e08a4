"""The estimate tree: every figure llamac prints, with formula, source and children.

`explain`, failed asserts, the plan's table and comments in generated code print these trees. To add
a figure: a function that returns an Estimate, and its entry in `estimates`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compiler.graph import Block, ModelGraph, Parameter
from compiler.plan import PhasePlan, Plan

NOT_BUILT = ("step_time", "mfu", "days", "price", "goodput", "power", "energy")
"""Roots of paths that the language reserves for the cost model."""


@dataclass(frozen=True)
class Estimate:
    """A named figure. `source` is a public reference or what it was counted from."""

    name: str
    value: float
    unit: str
    formula: str
    source: str
    children: tuple[Estimate, ...] = ()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Estimate]]:
        """Every node with its dotted path."""
        path = f"{prefix}.{self.name}" if prefix else self.name
        yield path, self
        for child in self.children:
            yield from child.walk(path)


def parameters(graph: ModelGraph) -> Estimate:
    """Elements of all weights; a tied weight counts where it is owned."""
    parts = tuple(_block_parameters(graph, block) for block in graph.blocks)
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    return Estimate("parameters", total, "parameters", names, "the model's graph", parts)


def _block_parameters(graph: ModelGraph, block: Block) -> Estimate:
    count = graph.count(block)
    children = tuple(_parameter(block, parameter) for parameter in block.parameters)
    one = sum(child.value for child in children)
    formula = f"{count} x {one:,.0f}" if count > 1 else " + ".join(c.name for c in children)
    return Estimate(block.name, count * one, "parameters", formula, f"block {block.name}", children)


def _parameter(block: Block, parameter: Parameter) -> Estimate:
    if parameter.tied_to:
        formula = f"tied to {parameter.tied_to}"
        return Estimate(parameter.name, 0, "parameters", formula, "model.head.tied")
    formula = " x ".join(f"{dim} {block.size(dim):,}" for dim in parameter.dims)
    return Estimate(parameter.name, block.elements(parameter), "parameters", formula, "dimensions")


def flops_per_token(graph: ModelGraph, seq_len: int) -> Estimate:
    """Model FLOPs per token, forward and backward: 3 x the matrix products of the forward.

    Attention counts its causal half, the embedding lookup nothing, recomputation nothing:
    6 (N - N_embedding) + 6 layers heads head_dim seq_len for a dense model.
    """
    parts = tuple(_block_flops(graph, block, seq_len) for block in graph.blocks)
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    convention = "matrix products x 3, causal half of attention"
    return Estimate("flops_per_token", total, "FLOP", names, convention, parts)


def _block_flops(graph: ModelGraph, block: Block, seq_len: int) -> Estimate:
    values = block.values()
    sizes = block.sizes | {"batch": 1, "seq": seq_len}
    children: list[Estimate] = []
    for node in block.nodes:
        if node.operator.is_product:
            dims = tuple(values[name].dims for name in node.inputs)
            flops = 3 * node.operator.flops(sizes, dims) / seq_len
            call = f"3 x {node.operator.name}({', '.join(node.inputs)})"
            made = ", ".join(value.name for value in node.outputs)
            children.append(Estimate(made, flops, "FLOP", call, "operator"))
    count = graph.count(block)
    one = sum(child.value for child in children)
    formula = f"{count} x {one:,.0f}" if count > 1 else " + ".join(c.name for c in children)
    return Estimate(block.name, count * one, "FLOP", formula or "none", "graph", tuple(children))


def estimates(
    graph: ModelGraph, plan: Plan | None, phase: PhasePlan | None = None
) -> Mapping[str, Estimate]:
    """All figures by root name; those of a run only where there is a plan.

    What differs by phase is that of `phase`, or of the phase with most tokens.
    """
    found = [parameters(graph)]
    if plan is not None:
        found += _run(graph, plan, phase or plan.main)
    return {estimate.name: estimate for estimate in found}


def _run(graph: ModelGraph, plan: Plan, shown: PhasePlan) -> list[Estimate]:
    several = len(plan.phases) > 1
    per_token = {phase: flops_per_token(graph, phase.seq_len) for phase in plan.phases}
    step = {phase: _tokens_per_step(phase) for phase in plan.phases}
    tokens = {
        phase: Estimate(
            phase.name if several else "tokens",
            phase.steps * phase.tokens_per_step,
            "tokens",
            f"{phase.steps:,} steps x {phase.tokens_per_step:,}",
            "train",
            (step[phase],),
        )
        for phase in plan.phases
    }
    flops = {
        phase: Estimate(
            phase.name if several else "flops",
            per_token[phase].value * tokens[phase].value,
            "FLOP",
            f"{per_token[phase].value:.4g} per token x {tokens[phase].value:,.0f} tokens",
            "flops_per_token, tokens",
            (per_token[phase],),
        )
        for phase in plan.phases
    }
    sums = (
        (_over_phases("tokens", [*tokens.values()]), _over_phases("flops", [*flops.values()]))
        if several
        else (tokens[shown], flops[shown])
    )
    return [per_token[shown], step[shown], *sums]


def _tokens_per_step(phase: PhasePlan) -> Estimate:
    return Estimate(
        "tokens_per_step",
        phase.tokens_per_step,
        "tokens",
        f"{phase.global_batch:,} sequences x {phase.seq_len:,}",
        "train.global_batch, train.seq_len",
    )


def _over_phases(name: str, parts: list[Estimate]) -> Estimate:
    total = sum(part.value for part in parts)
    names = " + ".join(part.name for part in parts)
    return Estimate(name, total, parts[0].unit, names, "the phases of the run", tuple(parts))


def to_json(estimate: Estimate) -> str:
    """The tree as JSON text."""
    return json.dumps(as_dict(estimate), indent=2) + "\n"


def as_dict(estimate: Estimate) -> dict[str, object]:
    value = estimate.value
    return {
        "name": estimate.name,
        "value": int(value) if float(value).is_integer() else value,
        "unit": estimate.unit,
        "formula": estimate.formula,
        "source": estimate.source,
        "children": [as_dict(child) for child in estimate.children],
    }
