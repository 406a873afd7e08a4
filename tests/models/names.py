"""What `transformers` calls the parameters of each family."""

from __future__ import annotations

_OUTSIDE = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "final_norm.bias": "model.norm.bias",
    "head.weight": "lm_head.weight",
}
_ATTENTION = {
    "attention.wq": "self_attn.q_proj.weight",
    "attention.wk": "self_attn.k_proj.weight",
    "attention.wv": "self_attn.v_proj.weight",
    "attention.wo": "self_attn.o_proj.weight",
    "attention.bq": "self_attn.q_proj.bias",
    "attention.bk": "self_attn.k_proj.bias",
    "attention.bv": "self_attn.v_proj.bias",
    "attention.bo": "self_attn.o_proj.bias",
    "attention.q_norm": "self_attn.q_norm.weight",
    "attention.k_norm": "self_attn.k_norm.weight",
}
_GATED = {
    "ffn.w_gate": "mlp.gate_proj.weight",
    "ffn.w_up": "mlp.up_proj.weight",
    "ffn.w_down": "mlp.down_proj.weight",
    "ffn.b_gate": "mlp.gate_proj.bias",
    "ffn.b_up": "mlp.up_proj.bias",
    "ffn.b_down": "mlp.down_proj.bias",
}
_STARCODER_FFN = {
    "ffn.w_up": "mlp.c_fc.weight",
    "ffn.b_up": "mlp.c_fc.bias",
    "ffn.w_down": "mlp.c_proj.weight",
    "ffn.b_down": "mlp.c_proj.bias",
}
_NORMS_BEFORE = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention_norm.bias": "input_layernorm.bias",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_norm.bias": "post_attention_layernorm.bias",
}
_NORMS_AFTER = {
    "attention_post_norm.weight": "post_attention_layernorm.weight",
    "ffn_post_norm.weight": "post_feedforward_layernorm.weight",
}
_NORMS_AROUND = {
    **_NORMS_AFTER,
    "attention_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
}
LLAMA = _ATTENTION | _GATED | _NORMS_BEFORE
GEMMA = _ATTENTION | _GATED | _NORMS_AROUND
EXAONE = _ATTENTION | _GATED | _NORMS_AFTER
STARCODER = _ATTENTION | _STARCODER_FFN | _NORMS_BEFORE


def transformers_name(ours: str, family: dict[str, str]) -> str:
    """What `transformers` calls a parameter, in a family that names those of a layer so."""
    if ours in _OUTSIDE:
        return _OUTSIDE[ours]
    _, layer, rest = ours.split(".", 2)
    return f"model.layers.{layer}.{family[rest]}"
