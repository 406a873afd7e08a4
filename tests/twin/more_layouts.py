"""More named layouts: what goes wrong together, rather than alone. Each is one row of a table."""

from __future__ import annotations

from dataclasses import replace

from compiler.schema import ModelSpec, PlanSpec
from compiler.schema.model import (
    Gelu,
    Gqa,
    LayerNorm,
    LayerSpec,
    Mha,
    Mqa,
    SlidingMask,
)
from compiler.schema.plan import Gpipe, Interleaved
from compiler.schema.train import Constant, EvalSpec, Wsd
from dsl.schema import Pattern
from tests.twin.layouts import (
    PACKED,
    VALIDATED,
    Spread,
    first_without_rope,
    gemma,
    llama,
    plan,
    qwen3,
    two_kinds,
)

EVALUATED = EvalSpec(every=10)


def of_one_kind(model: ModelSpec, kind: LayerSpec) -> ModelSpec:
    return replace(model, layer=Pattern(kinds=(kind,), indices=(0,) * model.layers))


def gpt() -> ModelSpec:
    """Biases everywhere, layer norms, GELU; tied ends."""
    attention = Mha(heads=24, kv_heads=24, head_dim=32, scale=32**-0.5, bias=True)
    kind = LayerSpec(attention=attention, ffn=Gelu(d_ff=1440, bias=True))
    model = replace(llama(24, tied=True), norm=LayerNorm(eps=1e-5))
    return of_one_kind(model, kind)


def mistral() -> ModelSpec:
    """Every layer sees a window."""
    (kind,) = llama(12).layer.kinds
    attention = replace(kind.attention, mask=SlidingMask(window=64))
    return of_one_kind(llama(12), replace(kind, attention=attention))


def key_bias(attention: type[Gqa], kv_heads: int) -> ModelSpec:
    """Biases without RoPE: those of keys have a gradient that is zero by algebra."""
    (kind,) = llama(kv_heads).layer.kinds
    with_bias = attention(
        heads=24, kv_heads=kv_heads, head_dim=32, scale=32**-0.5, bias=True, rope=None
    )
    return of_one_kind(llama(kv_heads), replace(kind, attention=with_bias))


TWO_CHUNKS = Interleaved(chunks=2)

COMPONENTS: dict[str, PlanSpec] = {
    "multi-query with bias, no RoPE, tp2": plan(key_bias(Mqa, 1), Spread(tp=2)),
    "bias, no RoPE, cp3": plan(key_bias(Gqa, 12), Spread(cp=3, fsdp=3), data=PACKED),
    "gpt, fsdp2 x tp3": plan(gpt(), Spread(dp=2, fsdp=2, tp=3)),
    "gpt, cp3": plan(gpt(), Spread(cp=3, fsdp=3), data=PACKED),
    "gpt, pp3 x tp2": plan(gpt(), Spread(pp=3, tp=2, microbatches=4)),
    "mistral, tp2 x cp3": plan(mistral(), Spread(tp=2, cp=3, fsdp=3), data=PACKED),
    "mistral, pp3": plan(mistral(), Spread(pp=3, microbatches=4)),
    "gemma, tp3, accumulation": plan(gemma(), Spread(tp=3, microbatches=2)),
    "qk norms, cp3 x tp2": plan(qwen3(12), Spread(cp=3, fsdp=3, tp=2)),
    "two kinds of layers, cp3": plan(two_kinds(), Spread(cp=3, fsdp=3), data=PACKED),
    "first kind without RoPE": plan(first_without_rope(), Spread(dp=2, fsdp=2)),
}

STAGES: dict[str, PlanSpec] = {
    "gpipe, pp3 x tp2": plan(llama(12), Spread(pp=3, tp=2, microbatches=4, schedule=Gpipe())),
    "1f1b, pp3, evaluated": plan(
        llama(12), Spread(pp=3, microbatches=3), data=VALIDATED, eval=EVALUATED
    ),
    "interleaved, pp3 x tp2, recomputed": plan(
        llama(12), Spread(pp=3, tp=2, microbatches=4, schedule=TWO_CHUNKS, recompute="full")
    ),
    "interleaved, pp3 x fsdp2, a list recomputed": plan(
        qwen3(12),
        Spread(
            dp=2,
            fsdp=2,
            pp=3,
            microbatches=4,
            schedule=TWO_CHUNKS,
            recompute=("rms_norm", "swiglu"),
        ),
        lr_schedule=Wsd(warmup=5, decay=20),
    ),
    "stages without a layer": plan(
        replace(two_kinds(), layers=4, layer=replace(two_kinds().layer, indices=(0, 1, 0, 0))),
        Spread(pp=3, microbatches=6, schedule=TWO_CHUNKS),
        data=VALIDATED,
        eval=EVALUATED,
    ),
    "tied ends, interleaved": plan(
        llama(12, tied=True), Spread(pp=3, microbatches=4, schedule=TWO_CHUNKS)
    ),
    "tied ends, pp3 x cp2": plan(
        llama(12, tied=True), Spread(pp=3, cp=2, fsdp=2, microbatches=4), data=PACKED
    ),
    "tied ends, pp3 x fsdp2": plan(
        llama(12, tied=True), Spread(dp=2, fsdp=2, pp=3, microbatches=4)
    ),
    "kv copies, pp3 x tp2": plan(llama(1), Spread(pp=3, tp=2, microbatches=4)),
    "no clipping, pp3": plan(llama(12), Spread(pp=3, microbatches=4), clip=None),
    "recomputed, pp3 x cp2": plan(
        llama(12), Spread(pp=3, cp=2, fsdp=2, microbatches=4, recompute=("attention", "linear"))
    ),
}

SHARDED: dict[str, PlanSpec] = {
    "zero3, accumulation": plan(
        llama(12), Spread(dp=3, fsdp=3, microbatches=4, sharding="zero3", recompute=("swiglu",))
    ),
    "zero3, hybrid with tp": plan(
        llama(12), Spread(dp=6, fsdp=3, tp=4, microbatches=2, sharding="zero3")
    ),
    "zero2, hybrid 2x3": plan(llama(12), Spread(dp=6, fsdp=3, microbatches=2, sharding="zero2")),
    "zero2, cp3 x tp2": plan(
        llama(12), Spread(cp=3, fsdp=3, tp=2, microbatches=2, sharding="zero2"), data=PACKED
    ),
    "no sharding, dp2 x tp3": plan(llama(12), Spread(dp=2, tp=3, sharding="none")),
    "no sharding, dp2 x pp3": plan(
        llama(12, tied=True), Spread(dp=2, pp=3, microbatches=4, sharding="none")
    ),
    "no sharding, cp2 x pp3": plan(
        llama(12), Spread(cp=2, pp=3, microbatches=4, sharding="none"), data=PACKED
    ),
    "hybrid with cp and tp": plan(llama(12), Spread(dp=2, fsdp=3, cp=3, tp=2), clip=None),
    "kv copies, hybrid": plan(llama(1), Spread(dp=6, fsdp=3, tp=4)),
    "dp innermost": plan(
        llama(12),
        Spread(dp=2, fsdp=2, tp=3, order=("dp", "tp", "cp", "pp")),
        lr_schedule=Constant(warmup=5),
    ),
    "cp innermost, with tp": plan(
        llama(12), Spread(cp=3, fsdp=3, tp=2, order=("cp", "tp", "dp", "pp")), data=PACKED
    ),
}

MANY: dict[str, PlanSpec] = COMPONENTS | STAGES | SHARDED
