"""The meaning of each operator on tensors [ranks, ...], every rank by itself.

Written apart from the operators' rules on purpose, so that the two can disagree.
"""

from __future__ import annotations

import math
from typing import assert_never

import torch
from torch import Tensor

from compiler.operators import (
    Add,
    AddBias,
    Attention,
    CrossEntropy,
    Embedding,
    Gate,
    Gelu,
    LayerNorm,
    Linear,
    Maximum,
    NegativeLogLikelihood,
    Operator,
    Pick,
    RmsNorm,
    Rope,
    Scale,
    Softcap,
    SubtractMaximum,
    SumExp,
)

Dims = tuple[str, ...]


def vocabulary_input(operator: Operator) -> tuple[int, int] | None:
    """(input, dimension) by which the operator looks up global indices, if it does."""
    match operator:
        case Embedding():
            return 1, 0
        case Pick():
            return 0, -1
        case _:
            return None


def apply(
    operator: Operator, dims: tuple[Dims, ...], inputs: tuple[Tensor, ...], first: Tensor
) -> tuple[Tensor, ...]:
    """The outputs [ranks, ...] of one operator.

    dims    names of each input's dimensions, without the leading one of ranks
    first   [ranks]: the global index of element 0 of the dimension that is looked up by index
    """
    made = _meaning(operator, dims, inputs, first)
    return made if isinstance(made, tuple) else (made,)


def _meaning(
    operator: Operator, dims: tuple[Dims, ...], inputs: tuple[Tensor, ...], first: Tensor
) -> Tensor | tuple[Tensor, ...]:
    match operator:
        case Embedding():
            return embedding(*inputs, first=first)
        case RmsNorm(eps=eps, offset=offset):
            return rms_norm(*inputs, eps=eps, offset=offset)
        case LayerNorm(eps=eps):
            return layer_norm(*inputs, eps=eps)
        case Linear():
            return linear(*inputs, dims=dims)
        case Rope():
            return rope(*inputs, operator=operator)
        case Attention():
            return attention(*inputs, operator=operator)
        case Gate(activation=activation):
            return {"silu": silu, "gelu": gelu}[activation](inputs[0]) * inputs[1]
        case Gelu():
            return gelu(*inputs)
        case AddBias():
            return inputs[0] + _beside(inputs[1], inputs[0])
        case Scale(factor=factor):
            return inputs[0] * factor
        case Softcap(cap=cap):
            return softcap(*inputs, cap=cap)
        case Add():
            return add(*inputs)
        case CrossEntropy():
            return cross_entropy(*inputs)
        case Maximum():
            return maximum(*inputs)
        case SubtractMaximum():
            return subtract_maximum(*inputs)
        case SumExp():
            return sum_exp(*inputs)
        case Pick():
            return pick(*inputs, first=first)
        case NegativeLogLikelihood():
            return negative_log_likelihood(*inputs)
        case _:
            assert_never(operator)


def _beside(per_rank: Tensor, x: Tensor) -> Tensor:
    """[ranks, d...] with 1s after the ranks, so that it broadcasts against x [ranks, ..., d...]."""
    ones = (1,) * (x.dim() - per_rank.dim())
    return per_rank.reshape(per_rank.shape[0], *ones, *per_rank.shape[1:])


def _held(indices: Tensor, first: Tensor, held: int) -> tuple[Tensor, Tensor]:
    """Local indices, clamped, and whether this rank holds them."""
    local = indices - first.reshape(-1, *(1,) * (indices.dim() - 1))
    return local.clamp(0, held - 1), (local >= 0) & (local < held)


def embedding(tokens: Tensor, weight: Tensor, first: Tensor) -> Tensor:
    """weight[token], zeros where the rank does not hold the token."""
    local, held = _held(tokens, first, weight.shape[1])
    ranks = torch.arange(weight.shape[0]).reshape(-1, *(1,) * (tokens.dim() - 1))
    return weight[ranks, local] * held.unsqueeze(-1)


def rms_norm(x: Tensor, weight: Tensor, eps: float, offset: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * (offset + weight) (Zhang and Sennrich, 2019)."""
    scale = offset + _beside(weight, x)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * scale


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias (Ba, Kiros and Hinton, 2016)."""
    centred = x - x.mean(-1, keepdim=True)
    unit = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return unit * _beside(weight, x) + _beside(bias, x)


def linear(x: Tensor, weight: Tensor, dims: tuple[Dims, ...]) -> Tensor:
    """Contracts the dimensions that x and weight share; the weight's others come last."""
    number = {name: index for index, name in enumerate(dict.fromkeys(dims[0] + dims[1]), start=1)}
    kept = [name for name in dims[0] if name not in dims[1]]
    kept += [name for name in dims[1] if name not in dims[0]]
    of_x, of_weight, of_output = (
        [0, *(number[name] for name in names)] for names in (dims[0], dims[1], kept)
    )
    return torch.einsum(x, of_x, weight, of_weight, of_output)


def rope(x: Tensor, positions: Tensor, operator: Rope) -> Tensor:
    """Rotate each pair of elements by position * frequency (Su et al., 2021)."""
    angle = (positions.unsqueeze(-1) * frequencies(operator, x.shape[-1])).unsqueeze(-2)
    turn = torch.polar(torch.ones_like(angle), angle)
    match operator.pairs:
        case "half":
            pairs = torch.unflatten(x, -1, (2, -1)).transpose(-1, -2)
        case "interleaved":
            pairs = torch.unflatten(x, -1, (-1, 2))
    turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn)
    match operator.pairs:
        case "half":
            return turned.transpose(-1, -2).flatten(-2)
        case "interleaved":
            return turned.flatten(-2)


def frequencies(operator: Rope, head_dim: int) -> Tensor:
    """Radians a position of each pair [head_dim / 2]; Llama 3.1's scaling by wavelength."""
    pair = torch.arange(0, head_dim, 2, dtype=torch.float64)
    plain = operator.theta ** (-pair / head_dim)
    scaling = operator.scaling
    if scaling is None:
        return plain
    turns = scaling.original * plain / (2 * math.pi)  # in the original context
    share = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return share * plain + (1 - share) * plain / scaling.factor


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    positions: Tensor,
    documents: Tensor,
    key_positions: Tensor,
    key_documents: Tensor,
    operator: Attention,
) -> Tensor:
    """softmax(q k' * scale) v over the keys that a query sees; key/value head i serves the i-th
    group of query heads. q [ranks, batch, queries, heads, head_dim] -> like q."""
    grouped = torch.unflatten(q, 3, (k.shape[3], -1))
    scores = torch.einsum("rbqgne,rbkge->rbgnqk", grouped, k) * operator.scale
    if operator.softcap:
        scores = softcap(scores, operator.softcap)
    back = positions.unsqueeze(-1) - key_positions.unsqueeze(-2)
    visible = (back >= 0) & (documents.unsqueeze(-1) == key_documents.unsqueeze(-2))
    if operator.window:
        visible &= back < operator.window
    weights = scores.masked_fill(~visible[:, :, None, None], -math.inf).softmax(-1)
    return torch.einsum("rbgnqk,rbkge->rbqgne", weights, v).flatten(3, 4)


def silu(x: Tensor) -> Tensor:
    return x * x.sigmoid()


def gelu(x: Tensor) -> Tensor:
    """The tanh form (Hendrycks and Gimpel, 2016)."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x / 2 * (1 + inner.tanh())


def softcap(x: Tensor, cap: float) -> Tensor:
    return cap * (x / cap).tanh()


def add(a: Tensor, b: Tensor) -> Tensor:
    return a + b


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """[ranks]: sum over valid tokens of -log softmax(logits)[target]."""
    index = targets.clamp(min=0).unsqueeze(-1)
    losses = logits.logsumexp(-1) - logits.gather(-1, index).squeeze(-1)
    return (losses * (targets >= 0)).flatten(1).sum(1)


def maximum(x: Tensor) -> Tensor:
    return x.detach().amax(-1)


def subtract_maximum(x: Tensor, largest: Tensor) -> Tensor:
    return x - largest.unsqueeze(-1)


def sum_exp(x: Tensor) -> Tensor:
    return x.exp().sum(-1)


def pick(x: Tensor, targets: Tensor, first: Tensor) -> Tensor:
    """x[target], zero where this rank does not hold the target."""
    local, held = _held(targets, first, x.shape[-1])
    return x.gather(-1, local.unsqueeze(-1)).squeeze(-1) * held


def negative_log_likelihood(total: Tensor, picked: Tensor, targets: Tensor) -> Tensor:
    """[ranks]: sum over valid tokens of log(total) - picked."""
    return ((total.log() - picked) * (targets >= 0)).flatten(1).sum(1)
