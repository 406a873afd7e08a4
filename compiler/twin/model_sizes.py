"""The model of a twin: every kind of layer, with the smallest widths that no fault can confuse."""

from __future__ import annotations

import math
from dataclasses import replace

from compiler.build_graph import build_graph
from compiler.data import form_of
from compiler.graph import Dimension
from compiler.mesh import Mesh
from compiler.plan import PhasePlan
from compiler.planner.stages import ENDS
from compiler.schema.model import (
    ChunkedMask,
    FullMask,
    Gqa,
    InitSpec,
    LayerSpec,
    Llama3Scaling,
    Mask,
    ModelSpec,
    Rope,
    SlidingMask,
)
from compiler.schema.train import Data
from compiler.twin.mesh_sizes import AtomSizes
from compiler.twin.sizes import free_size, with_row
from dsl.schema import Pattern

WINDOW = 5
"""Positions of a sliding window: less than a sequence, more than one."""

LAYER = "model.layer."
OF_HEADS = ("heads", "kv_heads", "head_dim")
"""Dimensions whose sizes depend on each other: see `_shrink_attention`."""

LEAST_WIDTH = 14
"""Of every other dimension of a layer."""

NORM_EPS, QK_NORM_EPS = 3e-4, 7e-4

INITIAL_STD = 0.3
"""Large enough that every operator's output matters at width 10."""


def shrink_model(
    phase: PhasePlan, atoms: AtomSizes, taken: set[int], least_vocab: int, plan_seq_len: int
) -> ModelSpec:
    """Equal numbers of the model stay equal, different ones stay different."""
    model = phase.spec.model
    attentions: dict[tuple[int, int, int], Gqa] = {}
    widths: dict[tuple[str, int], int] = {}
    kinds: list[LayerSpec] = []
    for index, (kind, block) in enumerate(
        zip(model.layer.kinds, build_graph(model).kinds, strict=True)
    ):
        attention = kind.attention
        key = (attention.heads, attention.kv_heads, attention.head_dim)
        if key not in attentions:
            attentions[key] = _shrink_attention(attention, phase.mesh, atoms, taken)
        shrunk = attentions[key]
        small = replace(
            kind,
            attention=replace(
                attention,
                heads=shrunk.heads,
                kv_heads=shrunk.kv_heads,
                head_dim=shrunk.head_dim,
                scale=_scale(attention, shrunk.head_dim),
                rope=_rope(attention.rope, index, shrunk.head_dim),
                mask=_mask(attention.mask, plan_seq_len),
                qk_norm=attention.qk_norm and replace(attention.qk_norm, eps=QK_NORM_EPS),
            ),
        )
        for dim in block.dimensions:
            is_free = not dim.formula and dim.name not in OF_HEADS
            if is_free and dim.path.startswith(LAYER):
                if (dim.name, dim.size) not in widths:
                    widths[dim.name, dim.size] = _width(dim, phase, atoms, taken)
                row = dim.path.removeprefix(LAYER)
                small = with_row(small, row, widths[dim.name, dim.size])
        kinds.append(small)
    # each kind once in its order, then the first again: a first and a last layer exist
    indices = (*range(len(kinds)), 0)
    return replace(
        model,
        vocab=free_size(atoms.tp, least_vocab, taken),
        d_model=free_size(1, 10, taken),
        norm=replace(model.norm, eps=NORM_EPS),
        layers=len(indices),
        layer=Pattern(kinds=tuple(kinds), indices=indices),
        init=InitSpec(std=INITIAL_STD),
    )


def _width(dim: Dimension, phase: PhasePlan, atoms: AtomSizes, taken: set[int]) -> int:
    """Any dimension of a layer: one that tp may cut falls into as many parts, another is even, for
    rotary positions turn pairs."""
    if dim.name in dict(phase.cuts):
        return free_size(atoms.tp, LEAST_WIDTH, taken)
    return free_size(1, LEAST_WIDTH, taken, of=2)


def _shrink_attention(attention: Gqa, mesh: Mesh, atoms: AtomSizes, taken: set[int]) -> Gqa:
    """Heads of the twin: a rank holds one key/value head, several, or a copy of one, as before."""
    tp = mesh.axis_size("tp")
    group = attention.heads // attention.kv_heads
    if attention.kv_heads % tp == 0:
        kv_heads = atoms.tp * min(attention.kv_heads // tp, 2)
        twin_group = min(group, 3)
    else:
        kv_heads = atoms.kv
        twin_group = atoms.kv_copy * min(group * attention.kv_heads // tp, 2)
    heads = kv_heads * twin_group
    taken |= {heads, kv_heads, heads // atoms.tp, max(1, kv_heads // atoms.tp)}
    head_dim = free_size(1, 6, taken, of=2)
    return replace(attention, heads=heads, kv_heads=kv_heads, head_dim=head_dim)


def _mask(mask: Mask, seq_len: int) -> Mask:
    """A window inside the sequence stays inside it, one beyond it beyond."""
    match mask:
        case SlidingMask(window=window):
            return SlidingMask(window=WINDOW if window < seq_len else 1000 * WINDOW)
        case FullMask() | ChunkedMask():
            return mask


def _scale(attention: Gqa, head_dim: int) -> float:
    usual = math.isclose(attention.scale, attention.head_dim**-0.5)
    return head_dim**-0.5 if usual else attention.scale


def _rope(rope: Rope | None, kind: int, head_dim: int) -> Rope | None:
    """Frequencies of which all matter within a dozen positions, different for each kind.

    With scaling, the first pair turns faster than `high`, the second between `high` and `low`,
    the others slower: all three branches of the formula are met.
    """
    if rope is None:
        return None
    if rope.scaling is None:
        return replace(rope, theta=50.0 + 7 * kind)
    scaling = rope.scaling
    first, second = 1.3 * scaling.high, math.sqrt(scaling.low * scaling.high)
    return replace(
        rope,
        theta=(first / second) ** (head_dim / 2) + kind,
        scaling=Llama3Scaling(
            factor=scaling.factor,
            low=scaling.low,
            high=scaling.high,
            original=max(1, round(2 * math.pi * first)),
        ),
    )


def least_vocab(data: Data) -> int:
    """Room for every token that the data can hold, and never a round number."""
    return 257 if form_of(data) == "text" else 29


def deepen(model: ModelSpec, virtual: int, whole: bool) -> ModelSpec:
    """As many layers as stages: with the ends, the first stage runs none and a late one two.
    `whole`: so many that every stage runs as many as there are kinds."""
    wanted = max(model.layers, virtual)
    if whole:
        wanted = max(wanted, (len(model.layer.kinds) + 1) * virtual - ENDS)
    pattern = model.layer.indices
    indices = tuple(pattern[i % len(pattern)] for i in range(wanted))
    return replace(model, layers=wanted, layer=Pattern(kinds=model.layer.kinds, indices=indices))
