"""config.json against the classes of `transformers`: its meaning, its defaults, what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from compiler.huggingface.differences import differences
from compiler.huggingface.families import FAMILIES, Json
from compiler.huggingface.read import Inexpressible, model_of
from compiler.huggingface.spec_text import condition, model_text
from compiler.huggingface.write import config_of
from compiler.pipeline import read
from compiler.schema import ModelSpec
from compiler.schema.model import Llama3Scaling
from tests.models.families import CASES
from tests.models.test_standard_library import CONFIGS
from tests.models.test_standard_library import model_of as standard

CLASSES: dict[str, type[PreTrainedConfig]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen3": Qwen3Config,
    "gemma2": Gemma2Config,
}
KNOWN = [name for name, case in CASES.items() if case.config.model_type in CLASSES]


def written(config: PreTrainedConfig) -> dict[str, Json]:
    """What `transformers` 5 writes of it."""
    return json.loads(config.to_json_string(use_diff=False))


def as_four(config: Mapping[str, Json]) -> dict[str, Json]:
    """The same in the form of `transformers` 4."""
    older = {key: value for key, value in config.items() if key not in ("rope_parameters", "dtype")}
    rope = config["rope_parameters"]
    assert isinstance(rope, dict)
    rest = {key: value for key, value in rope.items() if key != "rope_theta"}
    scaling = None if rest == {"rope_type": "default"} else rest
    theta = rope["rope_theta"]
    return {**older, "rope_theta": theta, "rope_scaling": scaling, "torch_dtype": "bfloat16"}


def read_back(text: str) -> ModelSpec:
    loaded = read("model.llama", lambda _: text)
    assert loaded.spec is not None, loaded.diagnostics
    (model,) = loaded.spec.all(ModelSpec).values()
    return model


@pytest.mark.parametrize("name", KNOWN)
def test_both_forms_mean_the_model(name: str) -> None:
    """Models that tests/models holds against `transformers`, logits and gradients."""
    case = CASES[name]
    for config in (written(case.config), as_four(written(case.config))):
        assert not differences(model_of(config), case.model)


@pytest.mark.parametrize("layers", [None, 40])
@pytest.mark.parametrize("model_type", CLASSES)
def test_defaults_are_those_of_the_class(model_type: str, layers: int | None) -> None:
    """A file that leaves out all it may, as `transformers` 4 wrote, and one with everything."""
    given: dict[str, Json] = {} if layers is None else {"num_hidden_layers": layers}
    short = model_of({"model_type": model_type, **given})
    assert not differences(short, model_of(written(CLASSES[model_type](**given))))


@pytest.mark.parametrize("first", [0, 2, 5])
def test_windows_of_qwen3_begin_at_a_layer(first: int) -> None:
    made = Qwen3Config(
        num_hidden_layers=5, use_sliding_window=True, sliding_window=7, max_window_layers=first
    )
    short = {key: value for key, value in written(made).items() if key != "layer_types"}
    assert not differences(model_of(short), model_of(written(made)))


@pytest.mark.parametrize(("library", "name"), CONFIGS)
def test_models_of_the_standard_library(library: str, name: str) -> None:
    """The published numbers say the models of `std/`; of Llama, all but the scaling of RoPE, which
    the test's configurations leave to the class."""
    found = differences(standard(library, name), model_of(written(CONFIGS[library, name])))
    paths = {one.path for one in found}
    if library == "llama3":
        paths -= {"layer.attention.rope.theta", "layer.attention.rope.scaling", "norm.eps"}
    if library == "qwen3":
        paths -= {"layer.attention.rope.theta"}
    assert not paths


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Json]:
    """Any numbers that a family may have."""
    family = draw(st.sampled_from(FAMILIES))
    kv_heads, head_dim = draw(st.integers(1, 4)), 2 * draw(st.integers(1, 40))
    layers = draw(st.integers(1, 9))
    values: dict[str, Json] = {
        "vocab_size": draw(st.integers(2, 300_000)),
        "hidden_size": draw(st.integers(1, 9000)),
        "intermediate_size": draw(st.integers(1, 90_000)),
        "num_hidden_layers": layers,
        "num_attention_heads": kv_heads * draw(st.integers(1, 4)),
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "rms_norm_eps": draw(st.sampled_from([1e-5, 1e-6, 3e-7, 0.01])),
        "tie_word_embeddings": draw(st.booleans()),
        "initializer_range": draw(st.sampled_from([0.02, 0.006, 1])),
        "rope_theta": draw(st.sampled_from([10_000, 500_000.0, 1e6, 12.5])),
        "attention_bias": draw(st.booleans()),
        "mlp_bias": draw(st.booleans()),
        "query_pre_attn_scalar": draw(st.sampled_from([head_dim, 144, 224])),
        "attn_logit_softcapping": draw(st.sampled_from([None, 50.0, 30])),
        "final_logit_softcapping": draw(st.sampled_from([None, 30.0])),
        "sliding_window": draw(st.integers(1, 9000)),
        "use_sliding_window": draw(st.booleans()),
        "max_window_layers": draw(st.integers(0, 9)),
        "layer_types": draw(
            st.none()
            | st.lists(
                st.sampled_from(["full_attention", "sliding_attention"]),
                min_size=layers,
                max_size=layers,
            )
        ),
    }
    if draw(st.booleans()):
        values["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": draw(st.sampled_from([8, 32.0])),
            "low_freq_factor": draw(st.sampled_from([1.0, 1.5])),
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        }
    own = {k: v for k, v in values.items() if k in family.defaults or k == "rope_scaling"}
    return {"model_type": family.model_type, **own}


@settings(max_examples=40, deadline=None)
@given(configs())
def test_a_model_survives_its_text_and_its_config(config: dict[str, Json]) -> None:
    model = model_of(config)
    assert read_back(model_text("m", model)) == model
    again = config_of(model)
    assert not again.lost
    assert not differences(model_of(json.loads(json.dumps(again.config))), model)


@settings(max_examples=80)
@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_conditions_pick_exactly_their_layers(picked: list[bool]) -> None:
    text = condition([i for i, there in enumerate(picked) if there], len(picked))
    assert [bool(eval(text, {"i": i})) for i in range(len(picked))] == picked


REFUSED: list[tuple[dict[str, Json], list[str]]] = [
    ({"attention_dropout": 0.1}, ["attention_dropout"]),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, ["rope_scaling"]),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, ["rope_parameters"]),
    (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        ["rope_parameters"],
    ),
    ({"partial_rotary_factor": 0.5}, ["partial_rotary_factor"]),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, ["rope_scaling"]),
    ({"hidden_act": "gelu"}, ["hidden_act"]),
    ({"num_local_experts": 8}, ["num_local_experts"]),
    ({"quantization_config": {"bits": 4}}, ["quantization_config"]),
    ({"model_type": "mixtral"}, ["model_type"]),
    ({"model_type": None}, ["model_type"]),
    ({"architectures": ["LlamaForSequenceClassification"]}, ["architectures"]),
    ({"hidden_size": "wide", "vocab_size": True}, ["hidden_size", "vocab_size"]),
    ({"num_key_value_heads": 5}, ["num_key_value_heads"]),
    ({"head_dim": 7}, ["head_dim"]),
    ({"hidden_size": 40}, ["head_dim"]),
    ({"num_hidden_layers": 10**9}, ["num_hidden_layers"]),
    ({"rope_theta": float("inf")}, ["rope_theta"]),
    (
        {"model_type": "gemma2", "num_hidden_layers": 2, "layer_types": ["full_attention"]},
        ["layer_types"],
    ),
    (
        {"model_type": "gemma2", "num_hidden_layers": 1, "layer_types": ["chunked_attention"]},
        ["layer_types"],
    ),
    (
        {"model_type": "gemma2", "use_bidirectional_attention": True},
        ["use_bidirectional_attention"],
    ),
    ({"model_type": "mistral", "sliding_window": 0}, ["sliding_window"]),
    ({"model_type": "mistral", "attention_bias": True}, ["attention_bias"]),
]


@pytest.mark.parametrize(("changes", "keys"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_what_no_spec_can_say_is_listed(changes: dict[str, Json], keys: list[str]) -> None:
    with pytest.raises(Inexpressible) as refused:
        model_of({"model_type": "llama", **changes})
    assert sorted(key.key for key in refused.value.keys) == sorted(keys)


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}
HARMLESS: list[dict[str, Json]] = [
    {"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"a": 1}},
    {"_attn_implementation_autoset": True},
    {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": None}},
    {"rope_scaling": {"type": "default", "factor": 1.0}},
    {"rope_scaling": {"type": "linear", "factor": 1.0}},
    {"do_sample": False, "temperature": 1.0, "top_k": 50, "max_length": 20, "pruned_heads": {}},
    {"max_sequence_length": 2048, "pad_token_id": -1, "pad_vocab_size_multiple": 64},
    {"layer_types": ["full_attention"] * 32},
]


@pytest.mark.parametrize("changes", HARMLESS, ids=lambda value: json.dumps(value)[:60])
def test_what_published_files_have_beside_the_model_changes_nothing(
    changes: dict[str, Json],
) -> None:
    """Keys of other tools and of `generate`, and forms that say the same."""
    assert model_of({"model_type": "llama", **changes}) == model_of({"model_type": "llama"})


def test_the_length_a_model_was_trained_on_is_that_of_the_scaling() -> None:
    """Where the scaling names none, as transformers fills it in."""
    rope: dict[str, Json] = {**LLAMA3_ROPE}
    config: dict[str, Json] = {"model_type": "llama", "max_position_embeddings": 2048}
    without = model_of({**config, "rope_scaling": rope})
    assert without == model_of(
        {**config, "rope_scaling": {**rope, "original_max_position_embeddings": 2048}}
    )


def test_a_wrong_number_is_blamed_alone() -> None:
    """4.0 heads are 4 to everything that is computed from them; the help has the whole number."""
    with pytest.raises(Inexpressible) as refused:
        model_of({"model_type": "llama", "num_attention_heads": 4.0, "num_key_value_heads": 2})
    (unsaid,) = refused.value.keys
    assert (unsaid.key, unsaid.why) == ("num_attention_heads", "a whole number is needed: `4`")


def test_layer_types_that_contradict_the_window_are_refused() -> None:
    types: list[Json] = ["full_attention"] * 32
    with pytest.raises(Inexpressible):
        model_of({"model_type": "mistral", "sliding_window": 64, "layer_types": types})


def test_what_is_ignored_is_only_that() -> None:
    config: dict[str, Json] = {
        "model_type": "llama",
        "attention_dropout": 0.1,
        "hidden_size": 8192,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 77.0},
    }
    model = model_of(config, frozenset({"attention_dropout", "rope_parameters", "hidden_size"}))
    rope = model.layer.kinds[0].attention.rope
    assert rope is not None
    assert (rope.theta, rope.scaling, model.d_model) == (77.0, None, 8192)


def test_the_scaling_of_llama_3_2() -> None:
    """As published with the 1B weights, in the form of 4.45."""
    model = model_of(
        {
            "model_type": "llama",
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": 500_000.0,
        }
    )
    rope = model.layer.kinds[0].attention.rope
    assert rope is not None
    assert rope.scaling == Llama3Scaling(factor=32.0, low=1.0, high=4.0, original=8192)


@pytest.mark.parametrize("name", [name for name in CASES if name not in KNOWN])
def test_models_of_other_families_are_not_called_one_of_these(name: str) -> None:
    assert config_of(CASES[name].model).lost
