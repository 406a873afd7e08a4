"""The architectures of Hugging Face that a spec can say, and the keys of their config.json.

A family is what its code fixes (how it normalises, its feed-forward part) and what its config.json
leaves open. `defaults` are those of its configuration class, taken where a file leaves a key out:
`transformers` itself writes files without them. The tests hold this table against the classes.

Sources: the configuration and modelling files of each family in `transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "Mapping[str, Json]"

Windows = Literal["none", "all", "from a layer", "alternating"]
"""Which layers have the window `sliding_window`: none; every one; those from `max_window_layers`
on, if `use_sliding_window`; the first and every other. The last two give way to `layer_types`."""


@dataclass(frozen=True)
class Family:
    """One architecture.

    norms, unit_offset  RMSNorm before each half of a layer, or around it; weights start at 1 or 0
    qk_norm             queries and keys are normalised, with the same eps
    embedding_scaled    embedded tokens are multiplied by sqrt(hidden_size)
    activation          the key that names the activation of the feed-forward part
    activations         the names of the one that it has
    """

    model_type: str
    architecture: str
    defaults: Object
    norms: Literal["pre", "both"] = "pre"
    unit_offset: bool = False
    qk_norm: bool = False
    ffn: Literal["swiglu", "geglu"] = "swiglu"
    embedding_scaled: bool = False
    windows: Windows = "none"
    activation: str = "hidden_act"
    activations: tuple[str, ...] = ("silu", "swish")


LLAMA = Family(
    "llama",
    "LlamaForCausalLM",
    {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "mlp_bias": False,
    },
)
MISTRAL = Family(
    "mistral",
    "MistralForCausalLM",
    {
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": None,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_theta": 10_000.0,
        "sliding_window": 4096,
    },
    windows="all",
)
QWEN3 = Family(
    "qwen3",
    "Qwen3ForCausalLM",
    {
        "vocab_size": 151_936,
        "hidden_size": 4096,
        "intermediate_size": 22_016,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": 128,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
    },
    qk_norm=True,
    windows="from a layer",
)
GEMMA2 = Family(
    "gemma2",
    "Gemma2ForCausalLM",
    {
        "vocab_size": 256_000,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "layer_types": None,
        "final_logit_softcapping": 30.0,
        "attn_logit_softcapping": 50.0,
    },
    norms="both",
    unit_offset=True,
    ffn="geglu",
    embedding_scaled=True,
    windows="alternating",
    activation="hidden_activation",
    activations=("gelu_pytorch_tanh",),
)

FAMILIES = (LLAMA, MISTRAL, QWEN3, GEMMA2)
"""In the order in which an export tries them."""

ROPE_KEYS = frozenset({"rope_theta", "rope_scaling", "rope_parameters"})
"""`rope_parameters` is the form of transformers 5, the other two are that of 4."""

ONLY: Mapping[str, tuple[Json, ...]] = {
    "attention_dropout": (0, None),
    "hidden_dropout": (0, None),
    "resid_dropout": (0, None),
    "partial_rotary_factor": (1, None),
    "use_bidirectional_attention": (False, None),
    "is_encoder_decoder": (False, None),
    "quantization_config": (None,),
    "rope_interleaved": (False, None),
}
"""Keys that change what is computed, unless they have one of these values."""

WITHOUT_EFFECT = frozenset(
    {
        *("_name_or_path", "architectures", "model_type", "auto_map", "transformers_version"),
        *("torch_dtype", "dtype", "pretraining_tp", "max_position_embeddings"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id"),
        *("use_cache", "cache_implementation", "attn_implementation", "_attn_implementation"),
        *("output_attentions", "output_hidden_states", "return_dict", "problem_type"),
        *("id2label", "label2id", "chunk_size_feed_forward", "hidden_act", "tokenizer_class"),
        *("task_specific_params", "generation_config", "unsloth_version", "unsloth_fixed"),
        *("is_llama_config", "transformers.js_config", "_attn_implementation_autoset"),
        *("max_sequence_length", "pad_vocab_size_multiple", "pruned_heads", "tf_legacy_loss"),
        *("torchscript", "use_bfloat16", "is_decoder", "add_cross_attention", "prefix"),
        *("cross_attention_hidden_size", "tie_encoder_decoder", "finetuning_task"),
        *("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"),
        *("do_sample", "temperature", "top_p", "top_k", "typical_p", "num_beams"),
        *("num_beam_groups", "diversity_penalty", "early_stopping", "length_penalty"),
        *("repetition_penalty", "encoder_no_repeat_ngram_size", "no_repeat_ngram_size"),
        *("bad_words_ids", "begin_suppress_tokens", "suppress_tokens"),
        "exponential_decay_length_penalty",
        *("max_length", "min_length", "num_return_sequences", "output_scores"),
        *("remove_invalid_values", "return_dict_in_generate"),
    }
)
"""Keys that say nothing about what is computed: what transformers and others write beside a model,
and what `generate` reads, which older versions of transformers wrote into every config.json.
Gemma 2 has `hidden_act` beside the `hidden_activation` that it reads."""


def family_called(model_type: str) -> Family | None:
    return next((family for family in FAMILIES if family.model_type == model_type), None)
