"""The named layouts: small plans of models as they are written, one for each way to be spread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from compiler.schema import ClusterSpec, CpuNode, ModelSpec, PlanSpec, TrainSpec
from compiler.schema.model import (
    EmbeddingSpec,
    Geglu,
    Gqa,
    HeadSpec,
    LayerSpec,
    Llama3Scaling,
    RmsNorm,
    Rope,
    SlidingMask,
    Swiglu,
)
from compiler.schema.plan import Axis, ByStage, Gpipe, Interleaved, OneFOneB, PlanPhase, Schedule
from compiler.schema.train import (
    AdamW,
    Constant,
    Cosine,
    EvalSpec,
    JsonlData,
    MegatronData,
    MixtureData,
    PhaseSpec,
    Source,
    TextData,
    TokenData,
    Wsd,
)
from dsl.schema import AUTO, Auto, Count, Named, Pattern

MICROBATCH = 4
ONE_F_ONE_B = OneFOneB()


def llama(kv_heads: int, tied: bool = False) -> ModelSpec:
    """Llama 3.1 in small."""
    return _model(
        Gqa(
            heads=24,
            kv_heads=kv_heads,
            head_dim=32,
            scale=32**-0.5,
            rope=Rope(theta=500_000.0, scaling=Llama3Scaling(factor=8.0)),
        ),
        tied,
        eps=1e-5,
    )


def qwen3(kv_heads: int, tied: bool = False) -> ModelSpec:
    """Qwen3 in small: norms on q and k."""
    return _model(
        Gqa(
            heads=24,
            kv_heads=kv_heads,
            head_dim=32,
            scale=32**-0.5,
            qk_norm=RmsNorm(eps=1e-6),
            rope=Rope(theta=1_000_000.0),
        ),
        tied,
        eps=1e-6,
    )


def _model(attention: Gqa, tied: bool, eps: float) -> ModelSpec:
    return ModelSpec(
        vocab=1536,
        d_model=512,
        layers=6,
        norm=RmsNorm(eps=eps),
        layer=Pattern(
            kinds=(LayerSpec(attention=attention, ffn=Swiglu(d_ff=1440)),), indices=(0,) * 6
        ),
        head=HeadSpec(tied=tied),
    )


def two_kinds() -> ModelSpec:
    """Layers that differ in heads, width, rope and norms, in a pattern."""
    first, second = llama(4).layer.kinds[0], qwen3(12).layer.kinds[0]
    interleaved = replace(first.attention, rope=Rope(theta=10_000.0, pairs="interleaved"))
    kinds = (
        LayerSpec(attention=interleaved, ffn=first.ffn),
        LayerSpec(attention=replace(second.attention, rope=None), ffn=Swiglu(d_ff=960)),
    )
    return replace(llama(4), layer=Pattern(kinds=kinds, indices=(0, 0, 1, 0, 0, 1)))


def first_without_rope() -> ModelSpec:
    """The same two kinds, of which the one that reads less per forward comes first."""
    model = two_kinds()
    kinds = tuple(reversed(model.layer.kinds))
    return replace(model, layer=replace(model.layer, kinds=kinds))


def gemma() -> ModelSpec:
    """Gemma 2 in small: every second layer sees a window, norms before and after, caps, GEGLU."""
    attention = replace(
        llama(12).layer.kinds[0].attention, rope=Rope(theta=10_000.0), softcap=5.0, scale=0.2
    )
    sees_all = LayerSpec(attention=attention, ffn=Geglu(d_ff=1440), norms="both")
    window = replace(sees_all, attention=replace(attention, mask=SlidingMask(window=64)))
    return replace(
        llama(12),
        norm=RmsNorm(eps=1e-6, unit_offset=True),
        layer=Pattern(kinds=(window, sees_all), indices=(0, 1) * 3),
        head=HeadSpec(tied=True, softcap=3.0),
        embedding=EmbeddingSpec(scale=512**0.5),
    )


@dataclass(frozen=True)
class Spread:
    dp: int = 1
    fsdp: int = 1
    tp: int = 1
    cp: int = 1
    pp: int = 1
    microbatches: int = 1
    schedule: Schedule = ONE_F_ONE_B
    sharding: Literal["none", "zero1", "zero2", "zero3"] | Auto = AUTO
    recompute: Literal["none", "full"] | tuple[str, ...] | ByStage = "none"
    order: tuple[Axis, ...] | Auto = AUTO


def plan(model: ModelSpec, spread: Spread, **train: object) -> PlanSpec:
    """A plan on CPU processes; `train` changes rows of the train block."""
    settings = TrainSpec(
        steps=100,
        seq_len=192,
        global_batch=Count(spread.dp * MICROBATCH * spread.microbatches, "sequences"),
        optimizer=AdamW(lr=3e-4),
        lr_schedule=Cosine(warmup=10, min_lr=3e-5),
        precision="fp32",
        data=TokenData(train="data/tokens", separator=0),
    )
    return PlanSpec(
        model=model,
        cluster=ClusterSpec(node=CpuNode(devices=spread.dp * spread.tp * spread.cp * spread.pp)),
        train=replace(settings, **train),
        dp=spread.dp,
        fsdp=spread.fsdp,
        tp=spread.tp,
        cp=spread.cp,
        pp=spread.pp,
        schedule=spread.schedule,
        sharding=spread.sharding,
        recompute=spread.recompute,
        order=spread.order,
        microbatch=MICROBATCH,
    )


LAYOUTS: dict[str, PlanSpec] = {
    "dp2": plan(
        llama(12),
        Spread(dp=2),
        data=TextData(train="data/text", validation="data/validation"),
        eval=EvalSpec(every=10, prompt="once"),
    ),
    "dp3 fsdp": plan(qwen3(12), Spread(dp=3, fsdp=3), lr_schedule=Wsd(warmup=5, decay=20)),
    "hybrid 2x3": plan(llama(12), Spread(dp=6, fsdp=3), lr_schedule=Constant(warmup=5)),
    "tp2": plan(
        llama(12),
        Spread(tp=2),
        data=TokenData(train="data/tokens", dtype="uint16", separator=7),
    ),
    "tp3": plan(qwen3(12), Spread(tp=3)),
    "tp4 > kv heads": plan(llama(2), Spread(tp=4), clip=None),
    "dp2 x tp3, accumulation": plan(
        llama(12),
        Spread(dp=2, fsdp=2, tp=3, microbatches=4),
        data=TokenData(train="data/tokens", validation="data/validation"),
        eval=EvalSpec(every=10),
    ),
    "tied head, tp": plan(qwen3(12, tied=True), Spread(tp=2), lr_schedule=Constant()),
}

VALIDATED = TextData(train="data/text", validation="data/validation")
PACKED = TokenData(train="data/tokens", separator=7)

PIPELINES: dict[str, PlanSpec] = {
    "gpipe, pp3": plan(
        llama(12),
        Spread(pp=3, microbatches=4, schedule=Gpipe()),
        data=VALIDATED,
        eval=EvalSpec(every=10, prompt="once"),
    ),
    "1f1b, pp3 x fsdp2": plan(qwen3(12), Spread(dp=2, fsdp=2, pp=3, microbatches=4)),
    # stages of 0, 1, 1, 1, 2 and 1 layers
    "interleaved, pp3": plan(
        two_kinds(), Spread(pp=3, microbatches=4, schedule=Interleaved(chunks=2))
    ),
    "tied ends, pp3 x tp2": plan(llama(12, tied=True), Spread(pp=3, tp=2, microbatches=4)),
    "recomputed by stage, pp3 x tp2": plan(
        llama(12),
        Spread(
            pp=3,
            tp=2,
            microbatches=4,
            recompute=ByStage(stages=("full", ("swiglu", "linear"), "none")),
        ),
    ),
    "from weights, tied ends": plan(
        llama(12, tied=True), Spread(pp=3, tp=2, microbatches=4), init_from="weights"
    ),
    "tp2 x fsdp3 x pp4, accumulation, recomputed": plan(
        llama(12), Spread(dp=3, fsdp=3, tp=2, pp=4, microbatches=8, recompute="full")
    ),
}

CONTEXTS: dict[str, PlanSpec] = {
    "cp3": plan(
        llama(12),
        Spread(cp=3, fsdp=3),
        data=VALIDATED,
        eval=EvalSpec(every=10, prompt="once"),
    ),
    "cp3 x tp2, packed": plan(llama(12), Spread(cp=3, fsdp=3, tp=2), data=PACKED),
    "hybrid with cp3": plan(qwen3(12), Spread(dp=2, fsdp=3, cp=3, microbatches=3)),
    "kv copies with cp3": plan(llama(1), Spread(tp=2, cp=3, fsdp=3)),
    "sliding masks, cp3": plan(gemma(), Spread(cp=3, fsdp=3, recompute="full"), data=PACKED),
}

SHARDINGS: dict[str, PlanSpec] = {
    "zero2": plan(llama(12), Spread(dp=3, fsdp=3, microbatches=2, sharding="zero2")),
    "zero1 x tp2, accumulation": plan(
        llama(12), Spread(dp=3, fsdp=3, tp=2, microbatches=2, sharding="zero1")
    ),
    "zero1, tied ends, accumulation, pp3": plan(
        llama(12, tied=True), Spread(dp=2, fsdp=2, pp=3, microbatches=4, sharding="zero1")
    ),
    "no sharding, cp3": plan(
        llama(12), Spread(dp=2, cp=3, microbatches=2, sharding="none", order=("dp", "cp"))
    ),
}


def ramp(spec: PlanSpec) -> PlanSpec:
    """The plan in four phases of one program: longer sequences, smaller and more microbatches."""
    dp = 1 if isinstance(spec.dp, Auto) else spec.dp

    def sequences(microbatch: int, microbatches: int) -> Count:
        return Count(dp * microbatch * microbatches, "sequences")

    phases = (
        ("short", PhaseSpec(steps=9, seq_len=192, global_batch=sequences(4, 4))),
        ("more", PhaseSpec(steps=9, seq_len=192, global_batch=sequences(4, 8))),
        ("longer", PhaseSpec(steps=9, seq_len=384, global_batch=sequences(2, 8))),
        ("longest", PhaseSpec(steps=9, seq_len=768, global_batch=sequences(2, 4))),
    )
    smaller = PlanPhase(microbatch=2)
    return replace(
        spec,
        train=replace(spec.train, phase=Named(phases)),
        phase=Named((("longer", smaller), ("longest", smaller))),
    )


RAMPS: dict[str, PlanSpec] = {
    "ramp, interleaved, pp3": ramp(
        plan(llama(12), Spread(pp=3, microbatches=4, schedule=Interleaved(chunks=2)), data=PACKED)
    ),
    "ramp, cp3": ramp(plan(llama(12), Spread(cp=3, fsdp=3, microbatches=4))),
}

WEB = JsonlData(train="web.jsonl", validation="some.jsonl")
CODE = TextData(train="code", validation="more", tokenizer="tokenizer.json", separator="<end>")
MIXED = MixtureData(
    source=Named((("web", Source(data=WEB, weight=0.7)), ("code", Source(data=CODE, weight=0.3))))
)

FORMATS: dict[str, PlanSpec] = {
    "shards, concatenated": plan(
        llama(12), Spread(dp=2), data=WEB, packing="concatenate", eval=EvalSpec(every=10)
    ),
    "mixture, fsdp2": plan(llama(12), Spread(dp=2, fsdp=2), data=MIXED, eval=EvalSpec(every=10)),
    "mixture, ramp, cp3": ramp(
        plan(
            llama(12),
            Spread(cp=3, fsdp=3, microbatches=4),
            data=MIXED,
            packing="concatenate",
            eval=EvalSpec(every=10),
        )
    ),
    "megatron, tp2": plan(
        llama(12), Spread(tp=2), data=MegatronData(train="some/pair", separator=9)
    ),
}

MORE: dict[str, PlanSpec] = {
    "pp3 x cp2 x tp4": plan(llama(12), Spread(pp=3, cp=2, fsdp=2, tp=4, microbatches=4)),
    "ramp, dp2 x tp3": ramp(
        plan(
            llama(12),
            Spread(dp=2, fsdp=2, tp=3, microbatches=4),
            data=VALIDATED,
            eval=EvalSpec(every=10, prompt="once"),
        )
    ),
    "two kinds of layers": plan(two_kinds(), Spread(dp=2, fsdp=2, tp=2)),
    "multi-query, tp2": plan(llama(1), Spread(tp=2)),
    "all atoms": plan(llama(2), Spread(dp=4, fsdp=2, tp=4, microbatches=2)),
    "one process": plan(llama(12), Spread(microbatches=2)),
    "kv copies of several heads with cp": plan(llama(2), Spread(tp=4, cp=3, fsdp=3)),
    "gemma, interleaved": plan(
        gemma(), Spread(pp=3, tp=2, microbatches=4, schedule=Interleaved(chunks=2))
    ),
    "gemma, interleaved, cp": plan(
        gemma(), Spread(pp=3, cp=2, fsdp=2, microbatches=4, schedule=Interleaved(chunks=2))
    ),
    "hybrid pipeline": plan(llama(12), Spread(dp=4, fsdp=2, pp=3, microbatches=4)),
    "all axes": plan(
        llama(12),
        Spread(dp=2, fsdp=4, tp=2, cp=2, pp=4, microbatches=8, schedule=Interleaved(chunks=2)),
        data=VALIDATED,
        eval=EvalSpec(every=10),
    ),
    "hybrid zero1, kv copies with cp3": plan(
        llama(1),
        Spread(dp=2, fsdp=3, cp=3, tp=2, sharding="zero1"),
        data=VALIDATED,
        eval=EvalSpec(every=10, prompt="once"),
    ),
    "zero1, dp inside cp3": plan(
        llama(12), Spread(dp=2, fsdp=6, cp=3, sharding="zero1", order=("dp", "cp"))
    ),
    "two kinds, interleaved, recomputed by stage": plan(
        two_kinds(),
        Spread(
            pp=3,
            microbatches=4,
            schedule=Interleaved(chunks=2),
            recompute=ByStage(stages=(("attention",), "none", "full")),
        ),
    ),
    "zero1, interleaved": plan(
        two_kinds(),
        Spread(
            dp=2, fsdp=2, pp=3, microbatches=4, schedule=Interleaved(chunks=2), sharding="zero1"
        ),
    ),
    "ramp, pp3 x cp2 x tp2": ramp(
        plan(
            llama(12),
            Spread(pp=3, cp=2, fsdp=2, tp=2, microbatches=4),
            data=VALIDATED,
            eval=EvalSpec(every=10, prompt="once"),
        )
    ),
    "from weights, kv copies": plan(llama(2), Spread(dp=3, fsdp=3, tp=4), init_from="weights"),
    "from weights, zero1": plan(
        llama(12), Spread(dp=2, fsdp=2, tp=3, sharding="zero1"), init_from="weights"
    ),
    "from weights, gemma": plan(gemma(), Spread(dp=4, fsdp=2, tp=2), init_from="weights"),
    "pp innermost": plan(
        qwen3(12), Spread(dp=2, fsdp=2, pp=3, microbatches=4, order=("pp", "tp", "cp", "dp"))
    ),
}
