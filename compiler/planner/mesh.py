"""The mesh: world = nodes x devices = dp x pp x cp x tp, each axis as its atoms."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compiler.mesh import Atom, Mesh
from compiler.planner.choices import TRIES, as_suggestion, axis_choices, mends, offer
from compiler.planner.context import Context, Refused
from compiler.planner.numbers import divisors, nearest, nearest_first
from compiler.planner.sharding import Copies, resolve_sharding
from compiler.problems.mesh import (
    AxisNotOrdered,
    CopiesAcrossContext,
    KvHeadsAgainstTp,
    MeshMismatch,
    TpAcrossNodes,
)
from compiler.rank_program import Sharding
from compiler.schema.cluster import CpuNode, GpuNode
from compiler.schema.plan import Axis
from dsl.diagnostics import Suggestion
from dsl.problems.values import NotBuilt
from dsl.schema import AUTO, Auto

INNERMOST_FIRST: tuple[Axis, ...] = ("tp", "cp", "pp", "dp")
"""Most traffic innermost: activations every layer, keys and values, stages, then data."""
MODEL_AXES: tuple[Axis, ...] = ("tp", "pp", "cp")


@dataclass(frozen=True)
class _Sizes:
    tp: int
    cp: int
    pp: int
    dp: int

    def of(self, axis: str) -> int:
        return {"tp": self.tp, "cp": self.cp, "pp": self.pp, "dp": self.dp}[axis]


@dataclass(frozen=True)
class Ranks:
    mesh: Mesh
    sharding: Sharding


def resolve_mesh(context: Context) -> Ranks:
    """Ranks row-major over the atoms, the last axis of `order` outermost."""
    sizes = _sizes(context)
    copies = resolve_sharding(context, sizes.dp, sizes.cp)
    kv, kv_copy = _kv_atoms(context)
    order = _order(context, sizes)
    _check_hybrid(context, order, copies)
    context.refuse_if_wrong()
    tensor = (Atom("kv", kv), Atom("kv_copy", kv_copy)) if kv_copy > 1 else (Atom("tp", sizes.tp),)
    by_axis = {
        "dp": (Atom("replicate", copies.replicate), Atom("shard", copies.shard)),
        "pp": (Atom("pp", sizes.pp),),
        "cp": (Atom("cp", sizes.cp),),
        "tp": tensor,
    }
    present = {
        axis: tuple(atom for atom in by_axis[axis] if atom.size > 1) for axis in reversed(order)
    }
    atoms = tuple(atom for axis in present.values() for atom in axis)
    axes = tuple((axis, tuple(atom.name for atom in has)) for axis, has in present.items())
    return Ranks(Mesh(atoms, axes), copies.kind)


def _machines(nodes: int, devices: int) -> str:
    of = "device" if devices == 1 else "devices"
    return f"{nodes:,} {'node' if nodes == 1 else 'nodes'} x {devices} {of}"


def _sizes(context: Context) -> _Sizes:
    spec = context.spec
    devices = spec.cluster.node.devices
    world = spec.cluster.nodes * devices
    context.decide("world", world, "derived", _machines(spec.cluster.nodes, devices))
    context.decide("tp", spec.tp, context.origin("tp"), "tensor-parallel ranks")
    if spec.cp > 1:
        context.decide("cp", spec.cp, context.origin("cp"), "context-parallel ranks")
    if spec.pp > 1:
        context.decide("pp", spec.pp, context.origin("pp"), "pipeline ranks")
    fixed = spec.tp * spec.cp * spec.pp
    if isinstance(spec.dp, Auto):
        if world % fixed:
            _mismatch(context, world, fixed)
            raise Refused
        product = " x ".join(f"{axis} {getattr(spec, axis)}" for axis in _present(context))
        reason = f"what is left: {world:,} / {product}" if product else "all ranks"
        context.decide("dp", world // fixed, "derived", reason)
        return _Sizes(spec.tp, spec.cp, spec.pp, world // fixed)
    if spec.dp * fixed != world:
        _mismatch(context, world, fixed * spec.dp)
        raise Refused
    context.decide("dp", spec.dp, context.origin("dp"), "data-parallel ranks")
    return _Sizes(spec.tp, spec.cp, spec.pp, spec.dp)


def _present(context: Context) -> list[Axis]:
    """Model axes of more than one rank, in the order people say them."""
    spec = context.spec
    sizes: dict[Axis, int] = {"tp": spec.tp, "pp": spec.pp, "cp": spec.cp}
    return [axis for axis in MODEL_AXES if sizes[axis] > 1]


def _mismatch(context: Context, world: int, ranks: int) -> None:
    """Point at the axis that is easiest to mend: dp where it is written, else one whose change
    alone makes the others divide the world."""
    spec = context.spec
    cluster = spec.cluster
    sizes: dict[str, int] = {axis: getattr(spec, axis) for axis in _present(context)}
    if not isinstance(spec.dp, Auto):
        sizes["dp"] = spec.dp
    curable = [axis for axis in sizes if world % (ranks // sizes[axis]) == 0]
    written = curable[-1] if curable else next(iter(sizes))
    rest = ranks // sizes[written]
    choices: tuple[Suggestion, ...] = ()
    if curable and isinstance(spec.dp, Auto):
        tried = nearest(sizes[written], divisors(world // rest), TRIES)
        whole = [n for n in tried if mends(context, {written: n})]
        choices = tuple(
            as_suggestion(context, {written: n}, f"gives dp = {world // (rest * n)}")
            for n in nearest(sizes[written], whole)
        )
    elif curable:  # all the others are written, so one value is left
        remark = "" if written == "dp" else f"gives dp = {spec.dp}"
        choices = offer(context, {written: world // rest}, remark=remark)
    if not choices:
        remark = f"what the other axes leave of {world:,} ranks"
        choices = offer(context, {"dp": AUTO}, remark=remark)
    product = " * ".join(sizes)
    if len(sizes) > 1:
        product += f" = {' * '.join(str(n) for n in sizes.values())}"
    context.problem(
        MeshMismatch(
            span=context.span(written),
            product=f"{product} = {ranks:,}",
            ranks=ranks,
            world=world,
            nodes=cluster.nodes,
            devices=cluster.node.devices,
            choices=choices,
            cluster_span=context.span("cluster.nodes"),
        )
    )


def _order(context: Context, sizes: _Sizes) -> tuple[Axis, ...]:
    written = context.spec.order
    if isinstance(written, Auto):
        order = INNERMOST_FIRST
        _warn_across_nodes(context, sizes.tp)
    else:
        order = written
        missing = [axis for axis in INNERMOST_FIRST if axis not in order and sizes.of(axis) > 1]
        if missing:
            context.problem(
                AxisNotOrdered(
                    span=context.span("order"),
                    axis=missing[0],
                    choices=offer(context, {"order": (*order, *missing)}, {"order": AUTO}),
                )
            )
            return INNERMOST_FIRST
        order += tuple(axis for axis in INNERMOST_FIRST if axis not in order)
    shown = ", ".join(axis for axis in order if axis in INNERMOST_FIRST and sizes.of(axis) > 1)
    origin = "default" if isinstance(written, Auto) else context.origin("order")
    context.decide("order", shown or "one rank", origin, "innermost first: most traffic nearest")
    return tuple(axis for axis in order if axis in INNERMOST_FIRST)


def _warn_across_nodes(context: Context, tp: int) -> None:
    cluster = context.spec.cluster
    devices = cluster.node.devices
    if tp > 1 and cluster.nodes > 1 and devices % tp:
        inside = (n for n in reversed(divisors(devices)) if n < tp)
        within = next((n for n in inside if mends(context, {"tp": n}, warning=True)), None)
        choices = [] if within is None else [as_suggestion(context, {"tp": within})]
        choices.append(as_suggestion(context, {"order": INNERMOST_FIRST}, "if this is meant"))
        context.problem(
            TpAcrossNodes(span=context.span("tp"), tp=tp, devices=devices, choices=tuple(choices))
        )


def _check_hybrid(context: Context, order: tuple[Axis, ...], copies: Copies) -> None:
    """One copy lies on shard x cp ranks: they must count faster than the copies do."""
    if copies.replicate > 1 and copies.shard > 1 and order.index("dp") < order.index("cp"):
        cp = context.spec.cp
        mended = [*(a for a in order if a != "dp" and getattr(context.spec, a) > 1), "dp"]
        if cp > 1:
            context.problem(
                CopiesAcrossContext(
                    span=context.span("order"),
                    cp=cp,
                    shard=copies.shard,
                    copies=copies.replicate,
                    other_span=context.span("fsdp"),
                    choices=offer(context, {"order": tuple(mended)}),
                )
            )


def _kv_atoms(context: Context) -> tuple[int, int]:
    """(kv, kv_copy): how many parts the key/value heads fall into, and copies of each."""
    tp = context.spec.tp
    counts = {kind.attention.kv_heads for kind in context.spec.model.layer.kinds}
    for kv_heads in sorted(counts):
        if tp % kv_heads and kv_heads % tp:
            legal = [*divisors(kv_heads), *(kv_heads * n for n in range(1, tp // kv_heads + 2))]
            context.problem(
                KvHeadsAgainstTp(
                    span=context.span("tp"),
                    tp=tp,
                    kv_heads=kv_heads,
                    choices=axis_choices(context, "tp", tp, legal)
                    or _kv_heads_choices(context, kv_heads),
                    model_span=context.span("model.layer.attention.kv_heads"),
                )
            )
    parts = {math.gcd(tp, kv_heads) for kv_heads in counts}
    if len(parts) > 1:
        context.problem(
            NotBuilt(
                span=context.span("tp"),
                what="`tp` above the key/value heads of some layers but not of others",
                remark=f"layers have {sorted(counts)} key/value heads; "
                f"use a `tp` up to {min(counts)}",
                choices=offer(context, {"tp": min(counts)}),
            )
        )
    kv = min(parts)
    return kv, tp // kv


def _kv_heads_choices(context: Context, kv_heads: int) -> tuple[Suggestion, ...]:
    """Other numbers of key/value heads, where no other tp will do."""
    heads = context.spec.model.layer.kinds[0].attention.heads
    tried = nearest_first(kv_heads, divisors(heads))
    return offer(context, *({"model.layer.attention.kv_heads": n} for n in tried))


def device_kind(node: GpuNode | CpuNode) -> str:
    match node:
        case GpuNode():
            return "cuda"
        case CpuNode():
            return "cpu"
