"""write: a ModelSpec -> the config.json of the family that computes it.

A family's file is made from the model's first layer and read back; what then differs is what the
family cannot say. So a config.json that is written means the model, by the reader's own word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from compiler.huggingface.differences import Difference, differences
from compiler.huggingface.families import FAMILIES, Family, Json
from compiler.huggingface.read import FULL, SLIDING, Inexpressible, model_of
from compiler.schema.model import ModelSpec, Rope, SlidingMask
from dsl.schema import Pattern


@dataclass(frozen=True)
class Written:
    """`config` computes the model exactly when nothing is `lost`."""

    family: Family
    config: Mapping[str, Json]
    lost: tuple[Difference, ...]


def config_of(model: ModelSpec) -> Written:
    """In the words of the first family that can say it all, or of the one that loses least."""
    tried = [_written(model, family) for family in FAMILIES]
    return min(tried, key=lambda one: len(one.lost))


def with_half_pairs(model: ModelSpec) -> ModelSpec:
    """The same model with the elements of its heads in the order that these folders have."""
    kinds = tuple(
        replace(kind, attention=replace(kind.attention, rope=_half(kind.attention.rope)))
        for kind in model.layer.kinds
    )
    unique = tuple(dict.fromkeys(kinds))
    indices = tuple(unique.index(kinds[index]) for index in model.layer.indices)
    return replace(model, layer=Pattern(unique, indices))


def _half(rope: Rope | None) -> Rope | None:
    return None if rope is None else replace(rope, pairs="half")


def _written(model: ModelSpec, family: Family) -> Written:
    config: dict[str, Json] = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        **{key: value for key, value in _values(model, family).items() if _has(family, key)},
    }
    try:
        lost = differences(model, model_of(config))
    except Inexpressible as refused:  # a number that no such file may have
        lost = tuple(Difference(key.key, str(key.value), None) for key in refused.keys)
    return Written(family, config, lost)


def _has(family: Family, key: str) -> bool:
    return key in family.defaults or key in ("hidden_act", "rope_scaling")


def _values(model: ModelSpec, family: Family) -> dict[str, Json]:
    """Every key that some family has. The form of transformers 4, which 5 reads as well."""
    layer = model.layer.kinds[0]
    attention, rope = layer.attention, layer.attention.rope
    return {
        "vocab_size": model.vocab,
        "hidden_size": model.d_model,
        "intermediate_size": layer.ffn.d_ff,
        "num_hidden_layers": model.layers,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.kv_heads,
        "head_dim": attention.head_dim,
        "hidden_act": family.activations[0],
        "hidden_activation": family.activations[0],
        "initializer_range": model.init.std,
        "rms_norm_eps": model.norm.eps,
        "tie_word_embeddings": model.head.tied,
        "rope_theta": 1.0 if rope is None else rope.theta,
        "rope_scaling": _scaling(rope),
        "attention_bias": attention.bias,
        "mlp_bias": layer.ffn.bias,
        "query_pre_attn_scalar": max(1, round(attention.scale**-2)),
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": model.head.softcap,
        **_windows(model),
    }


def _scaling(rope: Rope | None) -> Json:
    if rope is None or rope.scaling is None:
        return None
    return {
        "rope_type": "llama3",
        "factor": rope.scaling.factor,
        "low_freq_factor": rope.scaling.low,
        "high_freq_factor": rope.scaling.high,
        "original_max_position_embeddings": rope.scaling.original,
    }


def _windows(model: ModelSpec) -> dict[str, Json]:
    """Of the first window that a layer has; a second one is found by reading back."""
    masks = [model.layer.kinds[kind].attention.mask for kind in model.layer.indices]
    windows = [mask.window for mask in masks if isinstance(mask, SlidingMask)]
    types = [SLIDING if isinstance(mask, SlidingMask) else FULL for mask in masks]
    return {
        "sliding_window": windows[0] if windows else None,
        "use_sliding_window": bool(windows),
        "max_window_layers": types.index(SLIDING) if windows else model.layers,
        "layer_types": [*types],
    }
