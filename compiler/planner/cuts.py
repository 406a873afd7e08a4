"""Which named dimension is cut over which atoms, and whether it divides."""

from __future__ import annotations

from typing import Literal

from compiler.graph import ModelGraph
from compiler.mesh import Mesh
from compiler.planner.choices import axis_choices, offer
from compiler.planner.context import Context
from compiler.planner.numbers import divisors, nearest_first
from compiler.problems.mesh import DoesNotDivide

TENSOR_CUTS = ("heads", "d_ff", "vocab")
HEAD_AND_TAIL = 2
Cuts = tuple[tuple[str, tuple[str, ...]], ...]


def resolve_cuts(mesh: Mesh) -> Cuts:
    """heads, kv_heads, d_ff, vocab over tp; batch over dp; the stream's seq over cp, then tp.

    The cut over cp is by head and tail: rank r holds pieces r and 2 cp - 1 - r of 2 cp, so that
    causal attention weighs the same on every rank. Tokens are dealt out so; nothing below knows.
    """
    tensor = mesh.axis("tp")
    cuts: dict[str, tuple[str, ...]] = dict.fromkeys(TENSOR_CUTS, tensor)
    cuts["kv_heads"] = tuple(atom for atom in tensor if atom != "kv_copy")
    cuts["batch"] = mesh.axis("dp")
    cuts["seq"] = (*mesh.axis("cp"), *tensor)
    return tuple(cuts.items())


def check_cuts(context: Context, graph: ModelGraph, seq_len: int | None) -> None:
    """Every dimension that an axis cuts must fall into equal parts."""
    tp, cp = context.spec.tp, context.spec.cp
    every = {dim for block in graph.blocks for dim in block.dimensions}
    for dim in sorted(every, key=lambda dim: (dim.name, dim.size)):
        if dim.name in TENSOR_CUTS and dim.size % tp:
            _uneven(context, dim.path, dim.size, "tp", tp, divisors(dim.size))
    if seq_len is None:
        return
    path = "train.seq_len"
    pieces = HEAD_AND_TAIL * cp if cp > 1 else 1
    if seq_len % pieces:
        legal = [n // HEAD_AND_TAIL for n in divisors(seq_len) if n % HEAD_AND_TAIL == 0]
        _uneven(context, path, seq_len, "cp", pieces, [1, *legal])
    elif seq_len // cp % tp:
        _uneven(context, path, seq_len // cp, "tp", tp, divisors(seq_len // cp))


def check_heads(context: Context) -> None:
    """Each key/value head serves the same number of query heads, and RoPE turns pairs."""
    path = "model.layer.attention"
    shapes = {
        (a.heads, a.kv_heads, a.head_dim, a.rope is not None)
        for a in (kind.attention for kind in context.spec.model.layer.kinds)
    }
    for heads, kv_heads, head_dim, turns in sorted(shapes):
        if heads % kv_heads:
            near = nearest_first(kv_heads, divisors(heads))
            context.problem(
                DoesNotDivide(
                    span=context.span(f"{path}.kv_heads"),
                    what="heads",
                    of="kv_heads",
                    size=heads,
                    parts=kv_heads,
                    choices=offer(context, *({f"{path}.kv_heads": n} for n in near)),
                    other_span=context.span(f"{path}.heads"),
                    other=f"{heads} query heads",
                )
            )
        if turns and head_dim % 2:
            context.problem(
                DoesNotDivide(
                    span=context.span(f"{path}.head_dim"),
                    what="head_dim",
                    of="2, the elements that RoPE turns together",
                    size=head_dim,
                    parts=2,
                    choices=offer(
                        context, *({f"{path}.head_dim": n} for n in (head_dim - 1, head_dim + 1))
                    ),
                )
            )


def _uneven(
    context: Context,
    path: str,
    size: int,
    axis: Literal["tp", "cp"],
    parts: int,
    legal: list[int],
) -> None:
    field = path.rpartition(".")[2]
    spec = context.spec
    written = spec.tp if axis == "tp" else spec.cp
    context.problem(
        DoesNotDivide(
            span=context.span(axis),
            what=field,
            of="2 cp" if axis == "cp" else "tp",
            size=size,
            parts=parts,
            choices=axis_choices(context, axis, written, legal),
            other_span=context.span(path),
            other=f"{size:,} per rank" if path == "train.seq_len" and axis == "tp" else f"{size:,}",
        )
    )
