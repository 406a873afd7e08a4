"""Which ranks share one copy of parameters, gradients and optimizer state, and what they cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from compiler.mesh import Mesh
from compiler.plan import Origin, StateGroup
from compiler.planner.choices import offer
from compiler.planner.context import Context
from compiler.planner.numbers import divisors, nearest_first
from compiler.problems.mesh import FsdpAgainstDp, ReplicatedAndCut
from compiler.problems.pipeline import Zero3UnderPipeline
from compiler.rank_program import Sharding
from dsl.diagnostics import Suggestion
from dsl.schema import Auto

REASONS: dict[Sharding, str] = {
    "none": "every rank has a whole copy",
    "zero1": "optimizer cut; parameters and gradients whole on every rank",
    "zero2": "optimizer and gradients cut; parameters gathered once per step",
    "zero3": "parameters, gradients and optimizer cut",
}


@dataclass(frozen=True)
class Copies:
    """replicate x shard = dp; one copy of the state is cut over shard x cp ranks."""

    kind: Sharding
    replicate: int
    shard: int


def resolve_sharding(context: Context, dp: int, cp: int) -> Copies:
    """The copies, and what of the state they cut."""
    kind, origin = _kind(context)
    fsdp = _ranks(context, dp * cp, kind)
    if fsdp is None:
        return Copies(kind, 1, dp)
    whole = fsdp == 1
    if not whole and fsdp % cp:
        _against_context(context, fsdp, dp, cp)
        return Copies(kind, 1, dp)
    if whole and kind != "none":
        kind, reason = "none", "one rank holds one copy"
        origin = context.origin("fsdp") if origin == "default" else origin
    else:
        reason = REASONS[kind]
    context.decide("sharding", kind, origin, reason)
    shard = 1 if whole else fsdp // cp
    return Copies(kind, dp // shard, shard)


def resolve_groups(mesh: Mesh, kind: Sharding) -> tuple[StateGroup, ...]:
    """One group: every parameter is summed over dp x cp and cut over what does not replicate."""
    data = (*mesh.axis("dp"), *mesh.axis("cp"))
    copy = () if kind == "none" else tuple(atom for atom in data if atom != "replicate")
    return (StateGroup((), data, copy),)


def _kind(context: Context) -> tuple[Sharding, Origin]:
    spec = context.spec
    has_pipeline = spec.pp > 1
    if isinstance(spec.sharding, Auto):
        return ("zero2" if has_pipeline else "zero3"), "default"
    origin = context.origin("sharding")
    match spec.sharding:
        case "zero3" if has_pipeline:
            context.problem(
                Zero3UnderPipeline(
                    span=context.span("sharding"),
                    pp=spec.pp,
                    other_span=context.span("pp"),
                    choices=offer(context, {"sharding": "zero2"}),
                )
            )
            return "zero2", origin
        case "none" | "zero1" | "zero2" | "zero3":
            return spec.sharding, origin
        case _:
            assert_never(spec.sharding)


def _ranks(context: Context, data: int, kind: Sharding) -> int | None:
    """The ranks of one copy, or None where the number written is refused."""
    spec = context.spec
    if kind == "none":
        if not isinstance(spec.fsdp, Auto) and spec.fsdp > 1:
            context.problem(
                ReplicatedAndCut(
                    span=context.span("fsdp"),
                    fsdp=spec.fsdp,
                    other_span=context.span("sharding"),
                    choices=offer(context, {"sharding": "zero2"}, {"fsdp": 1}),
                )
            )
            return None
        context.decide("fsdp", 1, context.origin("sharding"), "`sharding = none` replicates")
        return 1
    if isinstance(spec.fsdp, Auto):
        context.decide("fsdp", data, "default", "one copy of the state over all of dp x cp")
        return data
    if data % spec.fsdp:
        choices = _fsdp_choices(context, spec.fsdp, divisors(data))
        context.problem(
            FsdpAgainstDp(span=context.span("fsdp"), fsdp=spec.fsdp, dp=data, choices=choices)
        )
        return None
    context.decide("fsdp", spec.fsdp, context.origin("fsdp"), "ranks of one copy of the state")
    return spec.fsdp


def _fsdp_choices(context: Context, written: int, legal: Iterable[int]) -> tuple[Suggestion, ...]:
    return offer(context, *({"fsdp": n} for n in nearest_first(written, legal)))


def _against_context(context: Context, fsdp: int, dp: int, cp: int) -> None:
    legal = [1, *(cp * n for n in divisors(dp))]
    context.problem(
        FsdpAgainstDp(
            span=context.span("fsdp"),
            fsdp=fsdp,
            dp=dp * cp,
            choices=_fsdp_choices(context, fsdp, legal),
            cp=cp,
        )
    )
