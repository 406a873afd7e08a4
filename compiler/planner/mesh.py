"""The mesh: world = nodes x devices = dp x tp, dp = replicate x shard, tp = kv x kv_copy."""

from __future__ import annotations

import math

from compiler.mesh import Atom, Mesh
from compiler.plan import Value
from compiler.planner.context import Context, Refused
from compiler.problems import Contradiction, FsdpAgainstDp, KvHeadsAgainstTp, MeshMismatch, NotYet
from compiler.schema.cluster import CpuNode, GpuNode
from dsl.schema import Auto


def resolve_mesh(context: Context) -> Mesh:
    """Ranks row-major, tp innermost, so that its groups are neighbours."""
    spec = context.spec
    devices = spec.cluster.node.devices
    world = spec.cluster.nodes * devices
    context.decide("world", world, "derived", f"{spec.cluster.nodes:,} nodes x {devices} devices")
    context.decide("tp", spec.tp, context.origin("tp"), "tensor-parallel ranks")
    dp = _data_parallel(context, world)
    replicate, shard = _sharding(context, dp)
    kv, copies = _kv_atoms(context)
    context.refuse_if_wrong()
    tensor = (Atom("kv", kv), Atom("kv_copy", copies)) if copies > 1 else (Atom("tp", spec.tp),)
    data = (Atom("replicate", replicate), Atom("shard", shard))
    atoms = tuple(atom for atom in (*data, *tensor) if atom.size > 1)
    names = {atom.name for atom in atoms}
    axes = (
        ("dp", tuple(atom.name for atom in data if atom.name in names)),
        ("tp", tuple(atom.name for atom in tensor if atom.name in names)),
    )
    return Mesh(atoms, axes)


def _data_parallel(context: Context, world: int) -> int:
    spec = context.spec
    if isinstance(spec.dp, Auto):
        if world % spec.tp:
            _mismatch(context, f"tp = {spec.tp}", spec.tp, world, "tp")
            raise Refused
        dp = world // spec.tp
        context.decide("dp", dp, "derived", f"what is left: {world:,} / tp {spec.tp}")
        return dp
    if spec.dp * spec.tp != world:
        product = f"tp * dp = {spec.tp} * {spec.dp} = {spec.tp * spec.dp:,}"
        _mismatch(context, product, spec.tp * spec.dp, world, "dp")
        raise Refused
    context.decide("dp", spec.dp, context.origin("dp"), "data-parallel ranks")
    return spec.dp


def _mismatch(context: Context, product: str, ranks: int, world: int, written: str) -> None:
    cluster = context.spec.cluster
    tp = context.spec.tp
    if written == "tp":
        near = sorted(divisors(world), key=lambda value: (abs(value - tp), value))[:2]
        legal = tuple((value, world // value) for value in sorted(near))
    else:
        legal = ((world // tp, world // tp),) if world % tp == 0 else ()
    context.problem(
        MeshMismatch(
            span=context.span(written),
            product=product,
            ranks=ranks,
            world=world,
            nodes=cluster.nodes,
            devices=cluster.node.devices,
            written=written,
            legal=legal,
            cluster_span=context.span("cluster.nodes"),
        )
    )


def _sharding(context: Context, dp: int) -> tuple[int, int]:
    """(replicate, shard) with replicate x shard = dp."""
    spec = context.spec
    match spec.sharding:
        case "zero1" | "zero2":
            context.problem(
                NotYet(
                    span=context.span("sharding"),
                    what=f"`sharding = {spec.sharding}`",
                    instead="`zero3` cuts parameters, gradients and optimizer; `none` replicates",
                )
            )
            return 1, dp
        case "none":
            if not isinstance(spec.fsdp, Auto) and spec.fsdp > 1:
                context.problem(
                    Contradiction(
                        span=context.span("fsdp"),
                        what="`sharding = none` replicates, and `fsdp` above 1 cuts",
                        why=f"{spec.fsdp} ranks would share one copy",
                        other_span=context.span("sharding"),
                        other="replicated",
                    )
                )
            fsdp, origin, reason = 1, context.origin("sharding"), "`sharding = none` replicates"
        case _:
            if isinstance(spec.fsdp, Auto):
                fsdp, origin, reason = dp, "default", "one copy of the state over all of dp"
            else:
                fsdp, origin, reason = spec.fsdp, context.origin("fsdp"), "ranks of one copy"
    if dp % fsdp:
        near = sorted(divisors(dp), key=lambda value: (abs(value - fsdp), value))[:2]
        context.problem(
            FsdpAgainstDp(span=context.span("fsdp"), fsdp=fsdp, dp=dp, choices=tuple(sorted(near)))
        )
        return 1, dp
    context.decide("fsdp", fsdp, origin, reason)
    sharding: Value = "none" if fsdp == 1 else "zero3"
    explicit = not isinstance(spec.sharding, Auto)
    context.decide(
        "sharding",
        sharding,
        context.origin("sharding") if explicit else "default",
        "nothing to cut over one rank" if fsdp == 1 else "parameters, gradients, optimizer cut",
    )
    return dp // fsdp, fsdp


def _kv_atoms(context: Context) -> tuple[int, int]:
    """(kv, kv_copy): how many parts the key/value heads fall into, and copies of each."""
    tp = context.spec.tp
    counts = {kind.attention.kv_heads for kind in context.spec.model.layer.kinds}
    for kv_heads in sorted(counts):
        if tp % kv_heads and kv_heads % tp:
            near = [n for n in divisors(kv_heads) if n < tp] + [
                n * kv_heads for n in range(1, tp) if n * kv_heads > tp
            ][:1]
            context.problem(
                KvHeadsAgainstTp(
                    span=context.span("tp"),
                    tp=tp,
                    kv_heads=kv_heads,
                    choices=tuple(near[-2:]),
                    model_span=context.span("model.layer.attention.kv_heads"),
                )
            )
    parts = {math.gcd(tp, kv_heads) for kv_heads in counts}
    if len(parts) > 1:
        context.problem(
            NotYet(
                span=context.span("tp"),
                what="tp above the key/value heads of some layers and not of others",
                instead=f"layers have {sorted(counts)} key/value heads; "
                f"use a `tp` up to {min(counts)}",
            )
        )
    kv = min(parts)
    return kv, tp // kv


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def device_kind(node: GpuNode | CpuNode) -> str:
    match node:
        case GpuNode():
            return "cuda"
        case CpuNode():
            return "cpu"
