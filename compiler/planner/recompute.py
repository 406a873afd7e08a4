"""What the backward computes again."""

from __future__ import annotations

from compiler.graph import ModelGraph
from compiler.plan import Recompute
from compiler.planner.context import Context
from compiler.problems import UnknownOperator
from dsl.schema import Auto

_REASONS = {"none": "gathers run again", "full": "layers keep their input only"}


def resolve_recompute(context: Context, graph: ModelGraph) -> Recompute:
    """`none`, `full`, or operators that the layers have."""
    match context.spec.recompute:
        case Auto():
            context.decide("recompute", "none", "default", _REASONS["none"])
            return "none"
        case "none" | "full" as written:
            context.decide("recompute", written, context.origin("recompute"), _REASONS[written])
            return written
        case tuple() as names:
            return _operators(context, graph, names)


def _operators(context: Context, graph: ModelGraph, names: tuple[str, ...]) -> Recompute:
    known = {node.operator.name for kind in graph.kinds for node in kind.nodes}
    for name in names:
        if name not in known:
            context.problem(
                UnknownOperator(
                    span=context.span("recompute"), operator=name, known=tuple(sorted(known))
                )
            )
    text, reason = ", ".join(names) or "none", "what these make, and gathers"
    context.decide("recompute", text, context.origin("recompute"), reason)
    return names or "none"
