"""Rows of a `model` block: embedding, layers by pattern, final norm, head."""

from __future__ import annotations

from typing import Literal

from dsl.schema import Effect, Pattern, entry, row

MEANING = Effect.MEANING


@entry("rms")
class RmsNorm:
    eps: float = row("added to the mean square", effect=MEANING, default=1e-5, minimum=0)
    unit_offset: bool = row(
        "multiplies by 1 + weight, and weights start at 0 (Gemma)", effect=MEANING, default=False
    )


@entry("layer")
class LayerNorm:
    """Subtracts the mean, divides by the standard deviation; weight and bias."""

    eps: float = row("added to the variance", effect=MEANING, default=1e-5, minimum=0)


Norm = RmsNorm | LayerNorm


@entry("llama3")
class Llama3Scaling:
    """Frequency-dependent RoPE scaling of Llama 3.1 (factor, low, high, original context)."""

    factor: float = row("how far low frequencies are stretched", effect=MEANING, above=0)
    low: float = row(
        "wavelengths above original/low are scaled", effect=MEANING, default=1.0, above=0
    )
    high: float = row(
        "wavelengths below original/high are kept; above low", effect=MEANING, default=4.0, above=0
    )
    original: int = row("context length before scaling", effect=MEANING, default=8192, minimum=1)


@entry("rope")
class Rope:
    theta: float = row("base of the rotary frequencies", effect=MEANING, above=0)
    pairs: Literal["half", "interleaved"] = row(
        "which elements rotate together: i with i + head_dim/2 (half), or 2i with 2i + 1",
        effect=MEANING,
        default="half",
    )
    scaling: Llama3Scaling | None = row("context extension", effect=MEANING, default=None)


@entry("full")
class FullMask:
    """Causal attention over the whole document."""


@entry("sliding")
class SlidingMask:
    window: int = row(
        "positions seen, the own one included", effect=MEANING, minimum=1, positional=True
    )


@entry("chunked")
class ChunkedMask:
    """Not lowered yet."""

    chunk: int = row("positions of one chunk", effect=MEANING, minimum=1, positional=True)


Mask = FullMask | SlidingMask | ChunkedMask


@entry("gqa")
class Gqa:
    """Grouped-query attention: each key/value head serves heads / kv_heads query heads."""

    heads: int = row("query heads", effect=MEANING, minimum=1)
    kv_heads: int = row("key/value heads", effect=MEANING, minimum=1)
    head_dim: int = row(
        "elements of one head", effect=MEANING, derived="d_model / heads", minimum=2
    )
    bias: bool = row("bias on q, k, v, o", effect=MEANING, default=False)
    qk_norm: RmsNorm | None = row(
        "weighted norm over head_dim of q and k, before RoPE", effect=MEANING, default=None
    )
    rope: Rope | None = row("rotary positions", effect=MEANING, default=None)
    mask: Mask = row("what a position sees", effect=MEANING, default=FullMask())
    softcap: float | None = row("cap * tanh(score / cap)", effect=MEANING, default=None, above=0)
    scale: float = row("factor on scores", effect=MEANING, derived="1 / head_dim ** 0.5")


@entry("mha")
class Mha(Gqa):
    """Multi-head attention: every query head has its own key/value head."""

    kv_heads: int = row("key/value heads", effect=MEANING, derived="heads", minimum=1)


@entry("mqa")
class Mqa(Gqa):
    """Multi-query attention: one key/value head serves all."""

    kv_heads: int = row("key/value heads", effect=MEANING, derived="1", minimum=1)


Attention = Gqa | Mha | Mqa


@entry("swiglu")
class Swiglu:
    d_ff: int = row("inner width", effect=MEANING, minimum=1, positional=True)
    bias: bool = row("bias on its three matrices", effect=MEANING, default=False)


@entry("geglu")
class Geglu:
    """w_down(gelu(w_gate h) * w_up h), with gelu's tanh form."""

    d_ff: int = row("inner width", effect=MEANING, minimum=1, positional=True)
    bias: bool = row("bias on its three matrices", effect=MEANING, default=False)


@entry("gelu")
class Gelu:
    """w_down(gelu(w_up h)), with gelu's tanh form."""

    d_ff: int = row("inner width", effect=MEANING, minimum=1, positional=True)
    bias: bool = row("bias on its two matrices", effect=MEANING, default=False)


Ffn = Swiglu | Geglu | Gelu


@entry("layer")
class LayerSpec:
    attention: Attention = row("token mixing", effect=MEANING)
    ffn: Ffn = row("channel mixing", effect=MEANING)
    norms: Literal["pre", "post", "both"] = row(
        "where a sub-layer f normalises: x + f(norm(x)), x + norm(f(x)), or both",
        effect=MEANING,
        default="pre",
    )


@entry("head")
class HeadSpec:
    tied: bool = row("the head reuses the embedding matrix", effect=MEANING, default=False)
    softcap: float | None = row("cap * tanh(logit / cap)", effect=MEANING, default=None, above=0)


@entry("embedding")
class EmbeddingSpec:
    scale: float = row("factor on embedded tokens", effect=MEANING, default=1.0)


@entry("init")
class InitSpec:
    std: float = row(
        "standard deviation of initial weights", effect=MEANING, default=0.02, minimum=0
    )


@entry("model")
class ModelSpec:
    vocab: int = row("tokens in the vocabulary", effect=MEANING, minimum=2)
    d_model: int = row("width of the residual stream", effect=MEANING, minimum=1)
    layers: int = row("number of layers", effect=MEANING, minimum=1)
    norm: Norm = row("every norm of the residual stream", effect=MEANING, default=RmsNorm())
    layer: Pattern[LayerSpec] = row("what a layer is made of", effect=MEANING)
    head: HeadSpec = row("output projection", effect=MEANING, default=HeadSpec())
    embedding: EmbeddingSpec = row("input", effect=MEANING, default=EmbeddingSpec())
    init: InitSpec = row("initial weights", effect=MEANING, default=InitSpec())
