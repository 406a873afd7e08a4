"""What the backward computes again."""

from __future__ import annotations

from itertools import groupby

from compiler.graph import ModelGraph
from compiler.plan import Recompute, recompute_text
from compiler.planner.choices import offer
from compiler.planner.context import Context
from compiler.problems.recompute import EntriesAgainstPp, TooManyPolicies, UnknownOperator
from compiler.schema.plan import ByStage
from dsl.schema import Auto
from dsl.suggest import closest

REASONS = {"none": "gathers run again", "full": "layers keep their input only"}
MOST_POLICIES = 4
"""Different entries of a list: each is a class of layers in the program, and a rank of its twin."""


def resolve_recompute(context: Context, graph: ModelGraph) -> tuple[Recompute, ...]:
    """One entry a pipeline rank: `none`, `full`, or operators that the layers have, each once."""
    pp = context.spec.pp
    match context.spec.recompute:
        case Auto():
            context.decide("recompute", "none", "default", REASONS["none"])
            return ("none",) * pp
        case "none" | "full" as written:
            context.decide("recompute", written, context.origin("recompute"), REASONS[written])
            return (written,) * pp
        case tuple() as names:
            policy = _operators(context, graph, names)
            reason = "what these make, and gathers"
            context.decide("recompute", recompute_text(policy), context.origin("recompute"), reason)
            return (policy,) * pp
        case ByStage(stages=written):
            return _by_stage(context, graph, written)


def _by_stage(
    context: Context, graph: ModelGraph, written: tuple[Recompute, ...]
) -> tuple[Recompute, ...]:
    pp = context.spec.pp
    policies: tuple[Recompute, ...] = tuple(
        _operators(context, graph, policy) if isinstance(policy, tuple) else policy
        for policy in written
    )
    if pp == 1 or len(policies) != pp:
        _wrong_length(context, policies)
        return ("none",) * pp
    different = len(set(policies))
    if different > MOST_POLICIES:
        context.problem(
            TooManyPolicies(
                span=context.span("recompute"),
                different=different,
                most=MOST_POLICIES,
                choices=offer(context, {"recompute": "full"}),
            )
        )
    runs = [(recompute_text(policy), len(list(run))) for policy, run in groupby(policies)]
    text = ", ".join(f"{n} x {policy}" if n > 1 else policy for policy, n in runs)
    context.decide(
        "recompute", text, context.origin("recompute"), "by stage: of the ranks of pp in turn"
    )
    return policies


def _wrong_length(context: Context, policies: tuple[Recompute, ...]) -> None:
    pp, found = context.spec.pp, len(policies)
    if pp == 1:
        instead: Recompute | ByStage = policies[0] if policies else "none"
    else:
        fitted = (*policies, *(policies[-1:] or ("none",)) * pp)[:pp]
        instead = ByStage(stages=fitted)
    context.problem(
        EntriesAgainstPp(
            span=context.span("recompute"),
            found=found,
            pp=pp,
            other_span=context.span("pp"),
            choices=offer(context, {"recompute": instead}),
        )
    )


def _operators(context: Context, graph: ModelGraph, names: tuple[str, ...]) -> Recompute:
    """The operators named, each once; naming none of them is `none`."""
    known = {node.operator.name for kind in graph.kinds for node in kind.nodes}
    for name in names:
        if name not in known:
            near = closest(name, known)
            meant = tuple(near if near and one == name else one for one in names)
            context.problem(
                UnknownOperator(
                    span=context.span("recompute"),
                    operator=name,
                    known=tuple(sorted(known)),
                    choices=offer(context, *([{"recompute": meant}] if near else [])),
                )
            )
    return tuple(dict.fromkeys(names)) or "none"
