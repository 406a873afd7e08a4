"""`std/` against `transformers`: every parameter of every model, and what the models compute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from backends.reference.parameters import parameter_shapes
from compiler.schema.model import (
    ChunkedMask,
    FullMask,
    Geglu,
    Mask,
    ModelSpec,
    RmsNorm,
    SlidingMask,
    Swiglu,
)
from tests.compiler.specs import standard_models
from tests.models import names
from tests.models.names import transformers_name
from tests.models.published import PUBLISHED


def llama(layers: int, d_model: int, heads: int, d_ff: int, tied: bool = False) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128_256,
        num_hidden_layers=layers,
        hidden_size=d_model,
        num_attention_heads=heads,
        num_key_value_heads=8,
        intermediate_size=d_ff,
        tie_word_embeddings=tied,
    )


def qwen3(layers: int, d_model: int, heads: int, d_ff: int) -> Qwen3Config:
    return Qwen3Config(
        num_hidden_layers=layers,
        hidden_size=d_model,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=d_ff,
    )


@dataclass(frozen=True)
class Family:
    oracle: type[PreTrainedModel]
    names: dict[str, str]


FAMILIES = {
    "llama3": Family(LlamaForCausalLM, names.LLAMA),
    "qwen3": Family(Qwen3ForCausalLM, names.LLAMA),
    "mistral": Family(MistralForCausalLM, names.LLAMA),
    "gemma2": Family(Gemma2ForCausalLM, names.GEMMA),
}

# the defaults of MistralConfig are the 7B of version 0.1, but for eps: its file says 1e-5
CONFIGS: dict[tuple[str, str], PreTrainedConfig] = {
    ("llama3", "llama3_2_1b"): llama(16, 2048, 32, 8192, tied=True),
    ("llama3", "llama3_2_3b"): llama(28, 3072, 24, 8192, tied=True),
    ("llama3", "llama3_1_8b"): llama(32, 4096, 32, 14_336),
    ("llama3", "llama3_1_70b"): llama(80, 8192, 64, 28_672),
    ("llama3", "llama3_1_405b"): llama(126, 16_384, 128, 53_248),
    ("qwen3", "qwen3_8b"): qwen3(36, 4096, 32, 12_288),
    ("qwen3", "qwen3_32b"): qwen3(64, 5120, 64, 25_600),
    ("mistral", "mistral_7b"): MistralConfig(rms_norm_eps=1e-5),
    ("gemma2", "gemma2_9b"): Gemma2Config(
        num_hidden_layers=42,
        hidden_size=3584,
        num_attention_heads=16,
        num_key_value_heads=8,
        intermediate_size=14_336,
    ),
}


def model_of(library: str, name: str) -> ModelSpec:
    return standard_models(library)[name]


def test_every_model_of_the_library_is_here() -> None:
    libraries = {
        entry.name.removesuffix(".llama")
        for entry in files("compiler").joinpath("std").iterdir()
        if entry.name.endswith(".llama")
    }
    models = {library: set(standard_models(library)) for library in libraries - {"hardware"}}
    assert models == {library: set(counts) for library, counts in PUBLISHED.items()}
    assert set(CONFIGS) == {(library, name) for library in models for name in models[library]}


@pytest.mark.parametrize(("library", "name"), CONFIGS)
def test_parameters_are_those_of_transformers(library: str, name: str) -> None:
    """Each by name with its elements; in sum the published count."""
    family = FAMILIES[library]
    with torch.device("meta"):
        oracle = family.oracle(CONFIGS[library, name])
    theirs = {parameter: value.numel() for parameter, value in oracle.named_parameters()}
    ours = {
        transformers_name(parameter, family.names): math.prod(shape)
        for parameter, shape in parameter_shapes(model_of(library, name)).items()
    }
    assert ours == theirs
    assert sum(ours.values()) == PUBLISHED[library][name]


def window(mask: Mask) -> int | None:
    match mask:
        case FullMask():
            return None
        case SlidingMask(window=positions):
            return positions
        case ChunkedMask():
            raise AssertionError("no model of the library has one")


def windows(model: ModelSpec) -> list[int | None]:
    """What each layer sees."""
    return [window(model.layer.kinds[kind].attention.mask) for kind in model.layer.indices]


def test_mistral_computes_what_transformers_says() -> None:
    model, config = model_of("mistral", "mistral_7b"), CONFIGS["mistral", "mistral_7b"]
    assert isinstance(config, MistralConfig)
    assert windows(model) == [config.sliding_window] * config.num_hidden_layers
    assert model.norm == RmsNorm(eps=config.rms_norm_eps)
    for kind in model.layer.kinds:
        attention = kind.attention
        assert (attention.heads, attention.kv_heads) == (32, 8)
        assert (attention.softcap, attention.qk_norm, attention.bias) == (None, None, False)
        assert math.isclose(attention.scale, config.head_dim**-0.5, rel_tol=1e-15)
        assert attention.rope is not None
        assert attention.rope.theta == config.rope_parameters["rope_theta"]
        assert (attention.rope.scaling, attention.rope.pairs) == (None, "half")
        assert isinstance(kind.ffn, Swiglu)
        assert (config.hidden_act, kind.norms) == ("silu", "pre")
    assert (model.embedding.scale, model.head.softcap) == (1.0, None)


def test_gemma2_computes_what_transformers_says() -> None:
    model, config = model_of("gemma2", "gemma2_9b"), CONFIGS["gemma2", "gemma2_9b"]
    assert isinstance(config, Gemma2Config)
    seen = {"sliding_attention": config.sliding_window, "full_attention": None}
    assert windows(model) == [seen[kind] for kind in config.layer_types or ()]
    assert len(windows(model)) == config.num_hidden_layers
    assert model.norm == RmsNorm(eps=config.rms_norm_eps, unit_offset=True)
    for kind in model.layer.kinds:
        attention = kind.attention
        assert (attention.heads, attention.kv_heads, attention.head_dim) == (16, 8, 256)
        assert attention.softcap == config.attn_logit_softcapping
        assert (attention.qk_norm, attention.bias) == (None, config.attention_bias)
        assert attention.scale == config.query_pre_attn_scalar**-0.5
        assert attention.rope is not None
        assert attention.rope.theta == config.rope_parameters["rope_theta"]
        assert (attention.rope.scaling, attention.rope.pairs) == (None, "half")
        assert isinstance(kind.ffn, Geglu)
        assert (config.hidden_activation, kind.norms) == ("gelu_pytorch_tanh", "both")
    assert model.embedding.scale == config.hidden_size**0.5
    assert model.head.softcap == config.final_logit_softcapping
    assert model.head.tied == config.tie_word_embeddings
