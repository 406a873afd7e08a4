"""Small models of each family: what the spec says, and the same in the words of `transformers`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from transformers import (
    Exaone4Config,
    Exaone4ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

from compiler.schema.model import (
    EmbeddingSpec,
    FullMask,
    Geglu,
    Gelu,
    Gqa,
    HeadSpec,
    LayerNorm,
    LayerSpec,
    Llama3Scaling,
    Mha,
    ModelSpec,
    Mqa,
    Norm,
    RmsNorm,
    Rope,
    SlidingMask,
    Swiglu,
)
from dsl.schema import Pattern
from tests.models import names
from tests.models.names import transformers_name

SEQ, VOCAB, D_MODEL, D_FF, HEADS, HEAD_DIM = 13, 29, 24, 40, 6, 8
LAYERS = 3
WINDOW = 4
GQA = Gqa(heads=HEADS, kv_heads=2, head_dim=HEAD_DIM, rope=Rope(theta=50.0), scale=HEAD_DIM**-0.5)
SWIGLU = Swiglu(d_ff=D_FF)
GEGLU = Geglu(d_ff=D_FF)


@dataclass(frozen=True)
class Case:
    """`names`: what a parameter of a layer is called in `transformers`."""

    model: ModelSpec
    config: PreTrainedConfig
    oracle: type[PreTrainedModel]
    names: dict[str, str]

    def name(self, ours: str) -> str:
        return transformers_name(ours, self.names)


def spec(
    *kinds: LayerSpec,
    norm: Norm,
    indices: tuple[int, ...] = (0,) * LAYERS,
    head: HeadSpec | None = None,
    scale: float = 1.0,
) -> ModelSpec:
    return ModelSpec(
        vocab=VOCAB,
        d_model=D_MODEL,
        layers=len(indices),
        norm=norm,
        layer=Pattern(kinds=kinds, indices=indices),
        head=head or HeadSpec(),
        embedding=EmbeddingSpec(scale=scale),
    )


def sizes(kv_heads: int, tied: bool = False, layers: int = LAYERS) -> dict[str, object]:
    return {
        "vocab_size": VOCAB,
        "hidden_size": D_MODEL,
        "intermediate_size": D_FF,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": kv_heads,
        "head_dim": HEAD_DIM,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 64,
        "attn_implementation": "eager",
        "pad_token_id": None,  # its embedding would have no gradient
    }


def plain(theta: float) -> dict[str, object]:
    return {"rope_theta": theta, "rope_type": "default"}


def llama(kv_heads: int, tied: bool = False, scaled: bool = False, bias: bool = False) -> Case:
    # the four pairs turn 3.8, 1.4, 0.5 and 0.2 times in the original context: kept, blended, scaled
    scaling = Llama3Scaling(factor=4.0, low=1.0, high=3.0, original=24) if scaled else None
    parameters = plain(50.0)
    if scaling is not None:
        parameters |= {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 3.0,
            "original_max_position_embeddings": 24,
        }
    entry = {1: Mqa, HEADS: Mha}.get(kv_heads, Gqa)
    attention = entry(
        heads=HEADS,
        kv_heads=kv_heads,
        head_dim=HEAD_DIM,
        bias=bias,
        rope=Rope(theta=50.0, scaling=scaling),
        scale=HEAD_DIM**-0.5,
    )
    layer = LayerSpec(attention=attention, ffn=Swiglu(d_ff=D_FF, bias=bias))
    config = LlamaConfig(
        **sizes(kv_heads, tied),
        rms_norm_eps=1e-5,
        rope_parameters=parameters,
        attention_bias=bias,
        mlp_bias=bias,
    )
    model = spec(layer, norm=RmsNorm(eps=1e-5), head=HeadSpec(tied=tied))
    return Case(model, config, LlamaForCausalLM, names.LLAMA)


def qwen3(kv_heads: int, tied: bool) -> Case:
    qk_norm, rope = RmsNorm(eps=1e-6), Rope(theta=1000.0)
    attention = replace(GQA, kv_heads=kv_heads, qk_norm=qk_norm, rope=rope)
    layer = LayerSpec(attention=attention, ffn=SWIGLU)
    config = Qwen3Config(**sizes(kv_heads, tied), rms_norm_eps=1e-6, rope_parameters=plain(1000.0))
    model = spec(layer, norm=RmsNorm(eps=1e-6), head=HeadSpec(tied=tied))
    return Case(model, config, Qwen3ForCausalLM, names.LLAMA)


def mistral() -> Case:
    layer = LayerSpec(attention=replace(GQA, mask=SlidingMask(window=WINDOW)), ffn=SWIGLU)
    config = MistralConfig(
        **sizes(2), rms_norm_eps=1e-5, rope_parameters=plain(50.0), sliding_window=WINDOW
    )
    return Case(spec(layer, norm=RmsNorm(eps=1e-5)), config, MistralForCausalLM, names.LLAMA)


def gemma2() -> Case:
    """Score scale is not head_dim ** -0.5; the caps are low enough to bend scores and logits."""

    def layer(mask: FullMask | SlidingMask) -> LayerSpec:
        attention = replace(GQA, kv_heads=3, mask=mask, softcap=1.5, scale=5**-0.5)
        return LayerSpec(attention=attention, ffn=GEGLU, norms="both")

    model = spec(
        layer(SlidingMask(window=WINDOW)),
        layer(FullMask()),
        norm=RmsNorm(eps=1e-6, unit_offset=True),
        indices=(0, 1, 0),
        head=HeadSpec(tied=True, softcap=2.0),
        scale=D_MODEL**0.5,
    )
    config = Gemma2Config(
        **sizes(3, tied=True),
        rms_norm_eps=1e-6,
        rope_parameters=plain(50.0),
        sliding_window=WINDOW,
        query_pre_attn_scalar=5,
        attn_logit_softcapping=1.5,
        final_logit_softcapping=2.0,
    )
    return Case(model, config, Gemma2ForCausalLM, names.GEMMA)


def gemma3() -> Case:
    """Unit offset in the qk-norm too; a RoPE of its own for each kind of layer."""
    indices = (0, 0, 1, 0)

    def layer(mask: FullMask | SlidingMask, theta: float) -> LayerSpec:
        attention = replace(
            GQA,
            kv_heads=1,
            qk_norm=RmsNorm(eps=1e-6, unit_offset=True),
            rope=Rope(theta=theta),
            mask=mask,
            scale=5**-0.5,
        )
        return LayerSpec(attention=attention, ffn=GEGLU, norms="both")

    model = spec(
        layer(SlidingMask(window=WINDOW), 50.0),
        layer(FullMask(), 1000.0),
        norm=RmsNorm(eps=1e-6, unit_offset=True),
        indices=indices,
        head=HeadSpec(tied=True),
        scale=D_MODEL**0.5,
    )
    config = Gemma3TextConfig(
        **sizes(1, tied=True, layers=4),
        rms_norm_eps=1e-6,
        rope_parameters={"sliding_attention": plain(50.0), "full_attention": plain(1000.0)},
        sliding_window=WINDOW,
        query_pre_attn_scalar=5,
        layer_types=[{0: "sliding_attention", 1: "full_attention"}[i] for i in indices],
    )
    return Case(model, config, Gemma3ForCausalLM, names.GEMMA)


def starcoder2(window: int | None) -> Case:
    """Layer norms, biases everywhere, and a feed-forward without a gate."""
    head_dim = D_MODEL // HEADS  # this family has none of its own
    mask = FullMask() if window is None else SlidingMask(window=window)
    attention = replace(GQA, head_dim=head_dim, bias=True, mask=mask, scale=head_dim**-0.5)
    layer = LayerSpec(attention=attention, ffn=Gelu(d_ff=D_FF, bias=True))
    settings = sizes(2, tied=True) | {"head_dim": head_dim}
    config = Starcoder2Config(
        **settings, norm_epsilon=1e-5, rope_parameters=plain(50.0), sliding_window=window
    )
    model = spec(layer, norm=LayerNorm(eps=1e-5), head=HeadSpec(tied=True))
    return Case(model, config, Starcoder2ForCausalLM, names.STARCODER)


def exaone4() -> Case:
    """Norms after each half only; the layers that see everything have no RoPE."""

    def layer(mask: FullMask | SlidingMask, rope: Rope | None) -> LayerSpec:
        attention = replace(GQA, qk_norm=RmsNorm(eps=1e-5), rope=rope, mask=mask)
        return LayerSpec(attention=attention, ffn=SWIGLU, norms="post")

    model = spec(
        layer(SlidingMask(window=WINDOW), Rope(theta=50.0)),
        layer(FullMask(), None),
        norm=RmsNorm(eps=1e-5),
        indices=(0, 0, 1, 0),
    )
    config = Exaone4Config(
        **sizes(2, layers=4),
        rms_norm_eps=1e-5,
        rope_parameters=plain(50.0),
        sliding_window=WINDOW,
        sliding_window_pattern=3,
    )
    return Case(model, config, Exaone4ForCausalLM, names.EXAONE)


CASES = {
    "llama gqa": llama(kv_heads=2),
    "llama gqa scaled": llama(kv_heads=3, scaled=True),
    "llama gqa tied scaled": llama(kv_heads=2, tied=True, scaled=True),
    "llama gqa biased": llama(kv_heads=2, bias=True),
    "llama mha tied": llama(kv_heads=6, tied=True),
    "llama mqa scaled": llama(kv_heads=1, scaled=True),
    "qwen3": qwen3(kv_heads=2, tied=False),
    "qwen3 tied": qwen3(kv_heads=3, tied=True),
    "mistral": mistral(),
    "gemma2": gemma2(),
    "gemma3": gemma3(),
    "starcoder2": starcoder2(None),
    "starcoder2 sliding": starcoder2(WINDOW),
    "exaone4": exaone4(),
}
