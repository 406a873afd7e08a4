"""Which named dimension is cut over which atoms, and whether it divides."""

from __future__ import annotations

from compiler.graph import ModelGraph
from compiler.mesh import Mesh
from compiler.planner.context import Context
from compiler.planner.mesh import divisors
from compiler.problems import DoesNotDivide, TpAcrossNodes

TENSOR_CUTS = ("heads", "kv_heads", "d_ff", "vocab", "seq")
PATHS = {
    "heads": "model.layer.attention.heads",
    "d_ff": "model.layer.ffn.d_ff",
    "vocab": "model.vocab",
    "seq": "train.seq_len",
}
Cuts = tuple[tuple[str, tuple[str, ...]], ...]


def resolve_cuts(mesh: Mesh) -> Cuts:
    """heads, kv_heads, d_ff, vocab and the residual stream's seq over tp; batch over dp."""
    tensor = mesh.axis("tp")
    cuts = {
        dim: tuple(atom for atom in tensor if not (dim == "kv_heads" and atom == "kv_copy"))
        for dim in TENSOR_CUTS
    }
    return tuple((cuts | {"batch": mesh.axis("dp")}).items())


def check_cuts(context: Context, graph: ModelGraph, seq_len: int | None) -> None:
    """Every dimension that tp cuts must fall into tp equal parts."""
    tp = context.spec.tp
    sizes = {("seq", seq_len)} if seq_len else set[tuple[str, int]]()
    sizes |= {(dim, n) for block in graph.blocks for dim, n in block.sizes if dim in PATHS}
    for dim, size in sorted(sizes):
        if size % tp == 0:
            continue
        field = PATHS[dim].rpartition(".")[2]
        near = sorted(divisors(size), key=lambda value: (abs(value - tp), value))[:2]
        context.problem(
            DoesNotDivide(
                span=context.span("tp"),
                what=field,
                of="tp",
                size=size,
                parts=tp,
                choices=tuple(f"tp = {n}" for n in sorted(near)),
                other_span=context.span(PATHS[dim]),
                other=f"{field} = {size:,}",
            )
        )
    devices = context.spec.cluster.node.devices
    if tp > 1 and context.spec.cluster.nodes > 1 and devices % tp:
        context.problem(TpAcrossNodes(span=context.span("tp"), tp=tp, devices=devices))
