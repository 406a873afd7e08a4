"""The forward pass, on full parameters by name.

Names and shapes (`i` is a layer, counted from 0):

    embedding.weight                    [vocab, d_model]
    layers.{i}.attention_norm.weight    [d_model]
    layers.{i}.attention.wq             [heads, head_dim, d_model]
    layers.{i}.attention.wk, .wv        [kv_heads, head_dim, d_model]
    layers.{i}.attention.q_norm, k_norm [head_dim]                    with qk_norm
    layers.{i}.attention.wo             [d_model, heads, head_dim]
    layers.{i}.ffn_norm.weight          [d_model]
    layers.{i}.ffn.w_gate, .w_up        [d_ff, d_model]
    layers.{i}.ffn.w_down               [d_model, d_ff]
    final_norm.weight                   [d_model]
    head.weight                         [vocab, d_model]              untied
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from compiler.schema.model import (
    Gqa,
    LayerSpec,
    Llama3Scaling,
    ModelSpec,
    RmsNorm,
    Rope,
)

Parameters = Mapping[str, Tensor]


def parameter_shapes(model: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Name -> full shape of every parameter, in the order of the forward pass."""
    d_model = model.d_model
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (model.vocab, d_model)}
    for i, kind in enumerate(model.layer.indices):
        layer = model.layer.kinds[kind]
        attention, d_ff = layer.attention, layer.ffn.d_ff
        head_dim = attention.head_dim
        query, key = (attention.heads, head_dim), (attention.kv_heads, head_dim)
        shapes[f"layers.{i}.attention_norm.weight"] = (d_model,)
        shapes[f"layers.{i}.attention.wq"] = (*query, d_model)
        shapes[f"layers.{i}.attention.wk"] = (*key, d_model)
        shapes[f"layers.{i}.attention.wv"] = (*key, d_model)
        if attention.qk_norm is not None:
            shapes[f"layers.{i}.attention.q_norm"] = (head_dim,)
            shapes[f"layers.{i}.attention.k_norm"] = (head_dim,)
        shapes[f"layers.{i}.attention.wo"] = (d_model, *query)
        shapes[f"layers.{i}.ffn_norm.weight"] = (d_model,)
        shapes[f"layers.{i}.ffn.w_gate"] = (d_ff, d_model)
        shapes[f"layers.{i}.ffn.w_up"] = (d_ff, d_model)
        shapes[f"layers.{i}.ffn.w_down"] = (d_model, d_ff)
    shapes["final_norm.weight"] = (d_model,)
    if not model.head.tied:
        shapes["head.weight"] = (model.vocab, d_model)
    return shapes


def logits(model: ModelSpec, parameters: Parameters, tokens: Tensor, documents: Tensor) -> Tensor:
    """Scores of the next token [rows, seq, vocab] from tokens and document ids [rows, seq].

    A position attends to itself and to earlier positions of its own document.
    """
    seq = tokens.shape[1]
    causal = torch.ones(seq, seq, dtype=torch.bool).tril()
    visible = causal & (documents[:, :, None] == documents[:, None, :])

    x = parameters["embedding.weight"][tokens]
    for i, kind in enumerate(model.layer.indices):
        layer = model.layer.kinds[kind]
        own = _below(parameters, f"layers.{i}.")
        x = x + attention(
            layer.attention,
            _below(own, "attention."),
            rms_norm(x, own["attention_norm.weight"], model.norm),
            visible,
        )
        x = x + feed_forward(
            layer, _below(own, "ffn."), rms_norm(x, own["ffn_norm.weight"], model.norm)
        )
    x = rms_norm(x, parameters["final_norm.weight"], model.norm)
    head = parameters["embedding.weight" if model.head.tied else "head.weight"]
    return torch.einsum("rsd,vd->rsv", x, head)


def _below(parameters: Parameters, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def rms_norm(x: Tensor, weight: Tensor, norm: RmsNorm) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich, 2019)."""
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + norm.eps) * weight


def attention(spec: Gqa, parameters: Parameters, x: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention; x [rows, seq, d_model], visible [rows, query, key] -> like x.

    Query head h reads key/value head h // (heads / kv_heads).
    """
    q = torch.einsum("rsd,hed->rshe", x, parameters["wq"])
    k = torch.einsum("rsd,hed->rshe", x, parameters["wk"])
    v = torch.einsum("rsd,hed->rshe", x, parameters["wv"])
    if spec.qk_norm is not None:
        q = rms_norm(q, parameters["q_norm"], spec.qk_norm)
        k = rms_norm(k, parameters["k_norm"], spec.qk_norm)
    if spec.rope is not None:
        q, k = rotate(spec.rope, q), rotate(spec.rope, k)
    served_by = torch.arange(spec.heads) // (spec.heads // spec.kv_heads)
    k, v = k[:, :, served_by], v[:, :, served_by]
    scores = torch.einsum("rqhe,rkhe->rhqk", q, k) * spec.scale
    scores = scores.masked_fill(~visible[:, None], -math.inf)
    mixed = torch.einsum("rhqk,rkhe->rqhe", torch.softmax(scores, -1), v)
    return torch.einsum("rshe,dhe->rsd", mixed, parameters["wo"])


def rotate(rope: Rope, x: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., 2021) of x [rows, seq, heads, head_dim].

    Pair p of position s turns by s * frequency(p). A pair is elements (p, p + head_dim/2) or
    (2p, 2p + 1). Positions count from the start of the row; only their differences matter.
    """
    seq, head_dim = x.shape[1], x.shape[3]
    angle = torch.outer(torch.arange(seq, dtype=x.dtype), frequencies(rope, head_dim))
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    match rope.pairs:
        case "half":
            first, second = x[..., : head_dim // 2], x[..., head_dim // 2 :]
        case "interleaved":
            first, second = x[..., 0::2], x[..., 1::2]
    turned = (first * cos - second * sin, second * cos + first * sin)
    match rope.pairs:
        case "half":
            return torch.cat(turned, -1)
        case "interleaved":
            return torch.stack(turned, -1).flatten(-2)


def frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Radians a position, one a pair [head_dim / 2]: theta^(-2p / head_dim), scaled."""
    plain = [rope.theta ** (-2 * p / head_dim) for p in range(head_dim // 2)]
    if rope.scaling is not None:
        plain = [_llama3_frequency(f, rope.scaling) for f in plain]
    return torch.tensor(plain, dtype=torch.float64)


def _llama3_frequency(frequency: float, scaling: Llama3Scaling) -> float:
    """Llama 3.1: short waves kept, long ones divided by factor, linear in between."""
    turns = scaling.original * frequency / (2 * math.pi)  # in the original context
    if turns > scaling.high:
        return frequency
    if turns < scaling.low:
        return frequency / scaling.factor
    kept = (turns - scaling.low) / (scaling.high - scaling.low)
    return kept * frequency + (1 - kept) * frequency / scaling.factor


def feed_forward(layer: LayerSpec, parameters: Parameters, x: Tensor) -> Tensor:
    """SwiGLU (Shazeer, 2020): down(silu(gate(x)) * up(x)); x [rows, seq, d_model] -> like x."""
    gate = torch.einsum("rsd,fd->rsf", x, parameters["w_gate"])
    up = torch.einsum("rsd,fd->rsf", x, parameters["w_up"])
    return torch.einsum("rsf,df->rsd", gate * torch.sigmoid(gate) * up, parameters["w_down"])


def token_losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each target, [rows, seq]; scores [rows, seq, vocab]."""
    chosen = scores.gather(-1, targets[..., None])[..., 0]
    return torch.logsumexp(scores, -1) - chosen
