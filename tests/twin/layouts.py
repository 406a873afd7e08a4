"""The named layouts: small plans of models as they are written, one for each way to be spread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compiler.schema import ClusterSpec, CpuNode, ModelSpec, PlanSpec, TrainSpec
from compiler.schema.model import (
    Gqa,
    HeadSpec,
    LayerSpec,
    Llama3Scaling,
    RmsNorm,
    Rope,
    Swiglu,
)
from compiler.schema.train import AdamW, Constant, Cosine, EvalSpec, TextData, TokenData, Wsd
from dsl.schema import Count, Pattern

MICROBATCH = 4


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


@dataclass(frozen=True)
class Spread:
    dp: int = 1
    fsdp: int = 1
    tp: int = 1
    microbatches: int = 1


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
        cluster=ClusterSpec(node=CpuNode(devices=spread.dp * spread.tp)),
        train=replace(settings, **train),
        dp=spread.dp,
        fsdp=spread.fsdp,
        tp=spread.tp,
        microbatch=Count(MICROBATCH, "sequences"),
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
    "tp2": plan(llama(12), Spread(tp=2), data=TokenData(train="data/tokens", separator=7)),
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

MORE: dict[str, PlanSpec] = {
    "two kinds of layers": plan(two_kinds(), Spread(dp=2, fsdp=2, tp=2)),
    "multi-query, tp2": plan(llama(1), Spread(tp=2)),
    "all atoms": plan(llama(2), Spread(dp=4, fsdp=2, tp=4, microbatches=2)),
    "one process": plan(llama(12), Spread(microbatches=2)),
}
