"""The reference equals Hugging Face `transformers`: logits and every gradient, in float64.

`transformers` raises norms, softmax and rotary angles to float32 whatever the model's dtype; here
that name is made to mean float64, so that its own formulas run at the precision of the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from backends.reference.model import logits, token_losses
from backends.reference.parameters import parameter_shapes
from compiler.schema.model import (
    Gqa,
    HeadSpec,
    LayerSpec,
    Llama3Scaling,
    Mha,
    ModelSpec,
    Mqa,
    RmsNorm,
    Rope,
    Swiglu,
)
from dsl.schema import Pattern

BOUND = 1e-10
ROWS, SEQ, VOCAB, D_MODEL, D_FF, LAYERS, HEADS, HEAD_DIM = 2, 13, 29, 24, 40, 3, 6, 8


@dataclass(frozen=True)
class Case:
    """One pairing: what the spec says, and the same in the words of `transformers`."""

    model: ModelSpec
    config: LlamaConfig | Qwen3Config


def llama(attention: Gqa, tied: bool, eps: float) -> ModelSpec:
    return ModelSpec(
        vocab=VOCAB,
        d_model=D_MODEL,
        layers=LAYERS,
        norm=RmsNorm(eps=eps),
        layer=Pattern(
            kinds=(LayerSpec(attention=attention, ffn=Swiglu(d_ff=D_FF)),), indices=(0,) * LAYERS
        ),
        head=HeadSpec(tied=tied),
    )


def shared_settings(tied: bool, kv_heads: int, eps: float) -> dict[str, object]:
    return {
        "vocab_size": VOCAB,
        "hidden_size": D_MODEL,
        "intermediate_size": D_FF,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": kv_heads,
        "head_dim": HEAD_DIM,
        "rms_norm_eps": eps,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 64,
        "attn_implementation": "eager",
    }


def llama_case(kv_heads: int, tied: bool, scaled: bool) -> Case:
    # the four pairs turn 3.8, 1.4, 0.5 and 0.2 times in the original context: kept, blended, scaled
    scaling = Llama3Scaling(factor=4.0, low=1.0, high=3.0, original=24) if scaled else None
    rope = Rope(theta=50.0, scaling=scaling)
    shared = {"heads": HEADS, "head_dim": HEAD_DIM, "rope": rope, "scale": HEAD_DIM**-0.5}
    attention: Gqa
    match kv_heads:
        case 1:
            attention = Mqa(kv_heads=1, **shared)
        case 6:
            attention = Mha(kv_heads=HEADS, **shared)
        case _:
            attention = Gqa(kv_heads=kv_heads, **shared)
    parameters: dict[str, object] = {"rope_theta": 50.0, "rope_type": "default"}
    if scaling is not None:
        parameters |= {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 3.0,
            "original_max_position_embeddings": 24,
        }
    config = LlamaConfig(**shared_settings(tied, kv_heads, 1e-5), rope_parameters=parameters)
    return Case(llama(attention, tied, 1e-5), config)


def qwen3_case(kv_heads: int, tied: bool) -> Case:
    attention = Gqa(
        heads=HEADS,
        kv_heads=kv_heads,
        head_dim=HEAD_DIM,
        qk_norm=RmsNorm(eps=1e-6),
        rope=Rope(theta=1000.0),
        scale=HEAD_DIM**-0.5,
    )
    config = Qwen3Config(
        **shared_settings(tied, kv_heads, 1e-6),
        rope_parameters={"rope_theta": 1000.0, "rope_type": "default"},
    )
    return Case(llama(attention, tied, 1e-6), config)


CASES = {
    "llama gqa": llama_case(kv_heads=2, tied=False, scaled=False),
    "llama gqa scaled": llama_case(kv_heads=3, tied=False, scaled=True),
    "llama gqa tied scaled": llama_case(kv_heads=2, tied=True, scaled=True),
    "llama mha tied": llama_case(kv_heads=6, tied=True, scaled=False),
    "llama mqa scaled": llama_case(kv_heads=1, tied=False, scaled=True),
    "qwen3": qwen3_case(kv_heads=2, tied=False),
    "qwen3 tied": qwen3_case(kv_heads=3, tied=True),
}

NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
    "attention_norm.weight": "input_layernorm.weight",
    "attention.wq": "self_attn.q_proj.weight",
    "attention.wk": "self_attn.k_proj.weight",
    "attention.wv": "self_attn.v_proj.weight",
    "attention.wo": "self_attn.o_proj.weight",
    "attention.q_norm": "self_attn.q_norm.weight",
    "attention.k_norm": "self_attn.k_norm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.w_gate": "mlp.gate_proj.weight",
    "ffn.w_up": "mlp.up_proj.weight",
    "ffn.w_down": "mlp.down_proj.weight",
}


def transformers_name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{NAMES[rest]}"


def oracle_of(config: LlamaConfig | Qwen3Config) -> PreTrainedModel:
    torch.manual_seed(3)
    kind = Qwen3ForCausalLM if isinstance(config, Qwen3Config) else LlamaForCausalLM
    model = kind(config).to(torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():  # norms too: a weight of 1 hides its own omission
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def copied(model: ModelSpec, oracle: PreTrainedModel) -> dict[str, Tensor]:
    weights = dict(oracle.named_parameters())
    return {
        name: weights[transformers_name(name)].detach().clone().reshape(shape).requires_grad_()
        for name, shape in parameter_shapes(model).items()
    }


def difference(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(autouse=True)
def _float32_is_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients(name: str) -> None:
    case = CASES[name]
    oracle = oracle_of(case.config)
    parameters = copied(case.model, oracle)
    assert len(parameters) == len(dict(oracle.named_parameters()))
    tokens = torch.randint(VOCAB, (ROWS, SEQ), generator=torch.Generator().manual_seed(1))
    targets = tokens.roll(-1, dims=1)

    expected = oracle(tokens, use_cache=False).logits
    torch.nn.functional.cross_entropy(expected.flatten(0, 1), targets.flatten()).backward()

    got = logits(case.model, parameters, tokens, torch.zeros_like(tokens))
    token_losses(got, targets).mean().backward()

    assert difference(got, expected) <= BOUND
    theirs: Mapping[str, Tensor] = dict(oracle.named_parameters())
    for parameter, value in parameters.items():
        gradient = theirs[transformers_name(parameter)].grad
        assert gradient is not None
        assert value.grad is not None
        assert difference(value.grad, gradient.reshape(value.shape)) <= BOUND, parameter


def test_documents_are_independent() -> None:
    """Two documents packed into one row score as each does alone, in `transformers`."""
    case = CASES["llama gqa scaled"]
    oracle = oracle_of(case.config)
    tokens = torch.randint(VOCAB, (1, SEQ), generator=torch.Generator().manual_seed(2))
    documents = (torch.arange(SEQ) >= 5).long()[None]
    got = logits(case.model, copied(case.model, oracle), tokens, documents)
    for piece in (slice(0, 5), slice(5, SEQ)):
        expected = oracle(tokens[:, piece], use_cache=False).logits
        assert difference(got[:, piece], expected) <= BOUND
