"""The forward pass, on full parameters by the names of `backends.reference.parameters`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import assert_never

import torch
from torch import Tensor

from compiler.schema.model import (
    ChunkedMask,
    Ffn,
    FullMask,
    Geglu,
    Gelu,
    Gqa,
    LayerNorm,
    LayerSpec,
    Llama3Scaling,
    Mask,
    ModelSpec,
    Norm,
    RmsNorm,
    Rope,
    SlidingMask,
    Swiglu,
)

Parameters = Mapping[str, Tensor]


def logits(model: ModelSpec, parameters: Parameters, tokens: Tensor, documents: Tensor) -> Tensor:
    """Scores of the next token [rows, seq, vocab] from tokens and document ids [rows, seq].

    A position attends to itself and to earlier positions of its own document.
    """
    x = parameters["embedding.weight"][tokens] * model.embedding.scale
    for i, kind in enumerate(model.layer.indices):
        own = _below(parameters, f"layers.{i}.")
        x = layer_output(model.layer.kinds[kind], model.norm, own, x, documents)
    x = normalised(x, parameters, "final_norm", model.norm)
    head = parameters["embedding.weight" if model.head.tied else "head.weight"]
    return softcap(torch.einsum("rsd,vd->rsv", x, head), model.head.softcap)


def _below(parameters: Parameters, prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def layer_output(
    layer: LayerSpec, norm: Norm, parameters: Parameters, x: Tensor, documents: Tensor
) -> Tensor:
    """x + f(norm(x)), x + norm(f(x)) or both, with f attention and then feed-forward."""

    def before(half: str, x: Tensor) -> Tensor:
        return x if layer.norms == "post" else normalised(x, parameters, f"{half}_norm", norm)

    def after(half: str, y: Tensor) -> Tensor:
        return y if layer.norms == "pre" else normalised(y, parameters, f"{half}_post_norm", norm)

    visible = visible_keys(layer.attention.mask, documents)
    mixer = _below(parameters, "attention.")
    x = x + after("attention", attention(layer.attention, mixer, before("attention", x), visible))
    return x + after("ffn", feed_forward(layer.ffn, _below(parameters, "ffn."), before("ffn", x)))


def visible_keys(mask: Mask, documents: Tensor) -> Tensor:
    """[rows, query, key]: none after the query, none of another document, none out of the window
    (a query at q with window n sees q - n + 1 .. q)."""
    position = torch.arange(documents.shape[1])
    back = position[:, None] - position[None, :]
    same_document = documents[:, :, None] == documents[:, None, :]
    match mask:
        case FullMask():
            return same_document & (back >= 0)
        case SlidingMask(window=window):
            return same_document & (back >= 0) & (back < window)
        case ChunkedMask():
            raise ValueError("a chunked mask: the planner refuses it")
        case _:
            assert_never(mask)


def normalised(x: Tensor, parameters: Parameters, name: str, norm: Norm) -> Tensor:
    """x [..., d_model] -> the same, by the weight (and bias) of that name."""
    weight = parameters[f"{name}.weight"]
    match norm:
        case RmsNorm():
            return rms_norm(x, weight, norm)
        case LayerNorm():
            return layer_norm(x, weight, parameters[f"{name}.bias"], norm)
        case _:
            assert_never(norm)


def rms_norm(x: Tensor, weight: Tensor, norm: RmsNorm) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich, 2019)."""
    scale = 1 + weight if norm.unit_offset else weight
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + norm.eps) * scale


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, norm: LayerNorm) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias (Ba, Kiros and Hinton, 2016).

    The variance is that of the elements themselves: divided by their number.
    """
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * weight + bias


def softcap(x: Tensor, cap: float | None) -> Tensor:
    """Smoothly within -cap .. cap: cap * tanh(x / cap) (Bello et al., 2016; Gemma 2)."""
    return x if cap is None else cap * torch.tanh(x / cap)


def attention(spec: Gqa, parameters: Parameters, x: Tensor, visible: Tensor) -> Tensor:
    """Softmax attention; x [rows, seq, d_model], visible [rows, query, key] -> like x.

    Query head h reads key/value head h // (heads / kv_heads).
    """
    q, k, v = (
        _biased(torch.einsum("rsd,hed->rshe", x, parameters[f"w{letter}"]), parameters, letter)
        for letter in "qkv"
    )
    if spec.qk_norm is not None:
        q = rms_norm(q, parameters["q_norm"], spec.qk_norm)
        k = rms_norm(k, parameters["k_norm"], spec.qk_norm)
    if spec.rope is not None:
        q, k = rotate(spec.rope, q), rotate(spec.rope, k)
    served_by = torch.arange(spec.heads) // (spec.heads // spec.kv_heads)
    k, v = k[:, :, served_by], v[:, :, served_by]
    scores = softcap(torch.einsum("rqhe,rkhe->rhqk", q, k) * spec.scale, spec.softcap)
    scores = scores.masked_fill(~visible[:, None], -math.inf)
    mixed = torch.einsum("rhqk,rkhe->rqhe", torch.softmax(scores, -1), v)
    return _biased(torch.einsum("rshe,dhe->rsd", mixed, parameters["wo"]), parameters, "o")


def _biased(x: Tensor, parameters: Parameters, letter: str) -> Tensor:
    """x plus its bias b<letter>, where the model has biases."""
    bias = parameters.get(f"b{letter}")
    return x if bias is None else x + bias


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


def feed_forward(ffn: Ffn, parameters: Parameters, x: Tensor) -> Tensor:
    """SwiGLU, GEGLU: down(f(gate(x)) * up(x)) (Shazeer, 2020); gelu: down(gelu(up(x))).

    x [rows, seq, d_model] -> like x.
    """

    def inner(name: str) -> Tensor:
        product = torch.einsum("rsd,fd->rsf", x, parameters[f"w_{name}"])
        return _biased(product, parameters, f"_{name}")

    match ffn:
        case Swiglu():
            gate = inner("gate")
            h = gate * torch.sigmoid(gate) * inner("up")
        case Geglu():
            h = gelu(inner("gate")) * inner("up")
        case Gelu():
            h = gelu(inner("up"))
        case _:
            assert_never(ffn)
    down = torch.einsum("rsf,df->rsd", h, parameters["w_down"])
    return _biased(down, parameters, "_down")


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution function, in its tanh form (Hendrycks and Gimpel, 2016)."""
    return x * (0.5 + 0.5 * torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def token_losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each target, [rows, seq]; scores [rows, seq, vocab]."""
    chosen = scores.gather(-1, targets[..., None])[..., 0]
    return torch.logsumexp(scores, -1) - chosen
