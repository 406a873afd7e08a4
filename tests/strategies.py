"""Random valid specs, small enough to run: `plan_specs()` and its parts.

What is drawn covers every relation that the planner allows (heads against key/value heads against
tp, replicate x shard, several kinds of layer, tied or not), with sizes of a few elements.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from compiler.plan import Recompute
from compiler.schema import ClusterSpec, CpuNode, ModelSpec, PlanSpec, TrainSpec
from compiler.schema.model import (
    EmbeddingSpec,
    Ffn,
    FullMask,
    Geglu,
    Gelu,
    Gqa,
    HeadSpec,
    InitSpec,
    LayerNorm,
    LayerSpec,
    Llama3Scaling,
    Mha,
    Mqa,
    Norm,
    RmsNorm,
    Rope,
    SlidingMask,
    Swiglu,
)
from compiler.schema.plan import Axis, ByStage, Gpipe, Interleaved, OneFOneB, Schedule
from compiler.schema.train import AdamW, Constant, Cosine, LrSchedule, Wsd
from dsl.schema import AUTO, Auto, Count, Pattern

LARGEST_WORLD = 64
USUAL_WORLD = 24
"""Ranks up to which a mesh is drawn where nothing else is said."""


@dataclass(frozen=True)
class Ranks:
    """Sizes of the mesh's atoms; 1 leaves an atom out. tp = kv x copies."""

    replicate: int
    shard: int
    kv: int
    copies: int
    cp: int = 1
    pp: int = 1

    @property
    def dp(self) -> int:
        return self.replicate * self.shard

    @property
    def tp(self) -> int:
        return self.kv * self.copies

    @property
    def world(self) -> int:
        return self.dp * self.tp * self.cp * self.pp

    @property
    def atoms(self) -> int:
        """How many atoms have more than one rank."""
        sizes = (self.replicate, self.shard, self.kv, self.copies, self.cp, self.pp)
        return sum(n > 1 for n in sizes)


EVERY_RANKS = tuple(
    sizes
    for sizes in itertools.starmap(Ranks, itertools.product((1, 2, 3, 4), repeat=6))
    if sizes.world <= LARGEST_WORLD
)


@cache
def ranks(at_most: int = USUAL_WORLD) -> st.SearchStrategy[Ranks]:
    """Atom sizes up to so many ranks; most have three atoms or more."""
    return st.sampled_from([sizes for sizes in EVERY_RANKS if sizes.world <= at_most])


def rms_norms() -> st.SearchStrategy[RmsNorm]:
    return st.builds(RmsNorm, eps=st.sampled_from([1e-6, 1e-2]), unit_offset=st.booleans())


def norms() -> st.SearchStrategy[Norm]:
    return rms_norms() | st.builds(LayerNorm, eps=st.sampled_from([1e-6, 1e-2]))


def caps() -> st.SearchStrategy[float | None]:
    return st.sampled_from([None, None, 2.0])


@st.composite
def ropes(draw: st.DrawFn) -> Rope:
    """With scaling, `original` is small, so that all three branches of the formula are met."""
    scaling = draw(
        st.none()
        | st.builds(
            Llama3Scaling,
            factor=st.sampled_from([2.0, 8.0]),
            low=st.sampled_from([1.0, 1.5]),
            high=st.sampled_from([3.0, 4.0]),
            original=st.sampled_from([4, 16, 64]),
        )
    )
    pairs = draw(st.sampled_from(("half", "interleaved")))
    return Rope(theta=draw(st.sampled_from([5.0, 50.0, 10000.0])), pairs=pairs, scaling=scaling)


@st.composite
def attentions(draw: st.DrawFn, ranks: Ranks) -> Gqa:
    """A rank holds one key/value head, several, or (copies > 1) a copy of one."""
    kv_heads = ranks.kv * (draw(st.integers(1, 2)) if ranks.copies == 1 else 1)
    heads = kv_heads * ranks.copies * draw(st.integers(1, 2))
    head_dim = draw(st.sampled_from([2, 4, 6]))
    entry = Mha if heads == kv_heads else Mqa if kv_heads == 1 else Gqa
    return entry(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        bias=draw(st.booleans()),
        qk_norm=draw(st.none() | rms_norms()),
        mask=draw(st.sampled_from([FullMask(), SlidingMask(window=3)])),
        softcap=draw(caps()),
        rope=draw(st.none() | ropes()),
        scale=draw(st.sampled_from([head_dim**-0.5, 0.3])),
    )


@st.composite
def ffns(draw: st.DrawFn, ranks: Ranks) -> Ffn:
    entry = draw(st.sampled_from([Swiglu, Swiglu, Geglu, Gelu]))
    return entry(d_ff=ranks.tp * draw(st.integers(1, 3)), bias=draw(st.booleans()))


@st.composite
def layer_patterns(draw: st.DrawFn, ranks: Ranks, fewest: int = 1) -> Pattern[LayerSpec]:
    """One to three kinds, one to four layers; kinds are numbered by first use."""
    drawn = [
        LayerSpec(
            attention=draw(attentions(ranks)),
            ffn=draw(ffns(ranks)),
            norms=draw(st.sampled_from(["pre", "pre", "post", "both"])),
        )
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 3])))
    ]
    kinds = tuple(dict.fromkeys(drawn))
    missing = max(0, fewest - len(kinds))
    again = draw(
        st.lists(
            st.integers(0, len(kinds) - 1), min_size=missing, max_size=missing + 4 - len(kinds)
        )
    )
    return Pattern(kinds=kinds, indices=(*range(len(kinds)), *again))


@st.composite
def model_specs(
    draw: st.DrawFn, ranks: Ranks = Ranks(1, 1, 1, 1), vocab: int = 2, fewest: int = 1
) -> ModelSpec:
    """A model that these ranks can hold, with at least `vocab` tokens and `fewest` layers."""
    pattern = draw(layer_patterns(ranks, fewest))
    per_rank = math.ceil(vocab / ranks.tp)
    return ModelSpec(
        vocab=ranks.tp * draw(st.integers(max(per_rank, 2), per_rank + 3)),
        d_model=draw(st.integers(3, 6)),
        layers=len(pattern.indices),
        norm=draw(norms()),
        layer=pattern,
        head=HeadSpec(tied=draw(st.booleans()), softcap=draw(caps())),
        embedding=EmbeddingSpec(scale=draw(st.sampled_from([1.0, 1.5]))),
        init=InitSpec(std=0.3),
    )


def schedules() -> st.SearchStrategy[LrSchedule]:
    """Schedules that fit into four steps."""
    warmup = st.integers(0, 2)
    min_lr = st.sampled_from([0.0, 1e-4])
    return (
        st.builds(Constant, warmup=warmup)
        | st.builds(Cosine, warmup=warmup, min_lr=min_lr)
        | st.builds(Wsd, warmup=warmup, decay=st.integers(1, 2), min_lr=min_lr)
    )


@st.composite
def train_specs(draw: st.DrawFn, seq_len: int, sequences: int) -> TrainSpec:
    word = draw(st.sampled_from(["sequences", "tokens"]))
    batch = sequences if word == "sequences" else sequences * seq_len
    return TrainSpec(
        steps=4,
        seq_len=seq_len,
        global_batch=Count(batch, word),
        optimizer=AdamW(lr=1e-3, weight_decay=draw(st.sampled_from([0.0, 0.1]))),
        lr_schedule=draw(schedules()),
        clip=draw(st.sampled_from([None, 1e-3, 1.0])),
        seed=draw(st.integers(0, 2**31 - 1)),
    )


@st.composite
def plan_specs(
    draw: st.DrawFn,
    meshes: st.SearchStrategy[Ranks] | None = None,
    vocab: int = 2,
) -> PlanSpec:
    """A whole valid plan, by itself of up to `USUAL_WORLD` ranks."""
    mesh = draw(ranks() if meshes is None else meshes)
    equal_parts = mesh.tp * (2 * mesh.cp if mesh.cp > 1 else 1)
    seq_len = equal_parts * draw(st.integers(1 if equal_parts > 1 else 2, 3))
    schedule = draw(pipelines()) if mesh.pp > 1 else OneFOneB()
    microbatch = draw(st.integers(1, 2))
    fewest_microbatches = mesh.pp if isinstance(schedule, OneFOneB) else 2
    microbatches = draw(
        st.integers(1, 3) if mesh.pp == 1 else st.sampled_from([mesh.pp, fewest_microbatches])
    )
    replicated = mesh.shard == 1 and draw(st.booleans())
    whole = "zero2" if mesh.pp > 1 else "zero3"
    chunks = schedule.chunks if isinstance(schedule, Interleaved) else 1
    model = draw(model_specs(mesh, vocab, fewest=max(1, mesh.pp * chunks - 2)))
    return PlanSpec(
        model=model,
        cluster=ClusterSpec(node=CpuNode(devices=mesh.world)),
        train=draw(train_specs(seq_len, mesh.dp * microbatch * microbatches)),
        dp=mesh.dp,
        fsdp=1 if replicated else mesh.shard * mesh.cp,
        tp=mesh.tp,
        cp=mesh.cp,
        pp=mesh.pp,
        order=draw(orders(mesh, replicated)),
        stages=draw(stages(model.layers, mesh.pp * chunks)) if mesh.pp > 1 else AUTO,
        schedule=schedule,
        microbatch=microbatch,
        recompute=draw(recomputations(mesh.pp)),
        sharding="none" if replicated else draw(st.sampled_from([whole, "zero1", "zero2"])),
    )


def orders(mesh: Ranks, replicated: bool) -> st.SearchStrategy[tuple[Axis, ...] | Auto]:
    """Any; but copies of the state cannot lie across dp and cp, so dp stays outside cp then."""
    axes: tuple[Axis, ...] = ("tp", "cp", "pp", "dp")
    hybrid = mesh.replicate > 1 and mesh.shard > 1 and mesh.cp > 1 and not replicated
    every = itertools.permutations(axes)
    legal = [o for o in every if not hybrid or o.index("cp") < o.index("dp")]
    return st.sampled_from([AUTO, *legal])


def recomputations(pp: int) -> st.SearchStrategy[Recompute | ByStage]:
    """The same on every pipeline rank, or on each its own."""
    same: list[Recompute] = ["none", "full", ("attention",), ("linear", "add")]
    if pp == 1:
        return st.sampled_from(same)
    lists = st.lists(st.sampled_from(same), min_size=pp, max_size=pp)
    return st.sampled_from(same) | lists.map(lambda ways: ByStage(stages=tuple(ways)))


def pipelines() -> st.SearchStrategy[Schedule]:
    return st.sampled_from([Gpipe(), OneFOneB(), Interleaved(chunks=2)])


@st.composite
def stages(draw: st.DrawFn, layers: int, virtual: int) -> tuple[int, ...] | Auto:
    """Balanced, or so many layers on each virtual stage, on some none."""
    if draw(st.booleans()):
        return AUTO
    inner = virtual - 1
    borders = sorted(draw(st.lists(st.integers(0, layers), min_size=inner, max_size=inner)))
    return tuple(end - start for start, end in itertools.pairwise([0, *borders, layers]))
