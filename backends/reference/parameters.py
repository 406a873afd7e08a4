"""The parameters of a model: names, full shapes, and how each one starts.

Names and shapes (`i` is a layer, counted from 0):

    embedding.weight                         [vocab, d_model]
    layers.{i}.attention_norm.weight         [d_model]                     norms pre, both
    layers.{i}.attention.wq                  [heads, head_dim, d_model]
    layers.{i}.attention.wk, .wv             [kv_heads, head_dim, d_model]
    layers.{i}.attention.bq                  [heads, head_dim]             with bias
    layers.{i}.attention.bk, .bv             [kv_heads, head_dim]          with bias
    layers.{i}.attention.q_norm, .k_norm     [head_dim]                    with qk_norm
    layers.{i}.attention.wo                  [d_model, heads, head_dim]
    layers.{i}.attention.bo                  [d_model]                     with bias
    layers.{i}.attention_post_norm.weight    [d_model]                     norms post, both
    layers.{i}.ffn_norm.weight               [d_model]                     norms pre, both
    layers.{i}.ffn.w_gate                    [d_ff, d_model]               swiglu, geglu
    layers.{i}.ffn.w_up                      [d_ff, d_model]
    layers.{i}.ffn.w_down                    [d_model, d_ff]
    layers.{i}.ffn.b_gate, .b_up             [d_ff]                        with bias
    layers.{i}.ffn.b_down                    [d_model]                     with bias
    layers.{i}.ffn_post_norm.weight          [d_model]                     norms post, both
    final_norm.weight                        [d_model]
    head.weight                              [vocab, d_model]              untied

A layer norm has a `.bias` beside each `.weight`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from compiler.schema.model import (
    Ffn,
    Geglu,
    Gelu,
    Gqa,
    LayerNorm,
    LayerSpec,
    ModelSpec,
    Norm,
    RmsNorm,
    Swiglu,
)

Shape = tuple[int, ...]
Start = Literal["drawn", "ones", "zeros"]


@dataclass(frozen=True)
class Parameter:
    """`start` is "drawn" for matrices, which decay; norms and biases are constant and do not."""

    shape: Shape
    start: Start


Parameters = dict[str, Parameter]


def parameters_of(model: ModelSpec) -> Parameters:
    """Every parameter by its full name, in the order of the forward pass."""
    table = Parameters()
    table["embedding.weight"] = _matrix(model.vocab, model.d_model)
    for i, kind in enumerate(model.layer.indices):
        own = _of_layer(model, model.layer.kinds[kind])
        table |= {f"layers.{i}.{name}": parameter for name, parameter in own.items()}
    table |= _of_norm(model.norm, "final_norm", model.d_model)
    if not model.head.tied:
        table["head.weight"] = _matrix(model.vocab, model.d_model)
    return table


def parameter_shapes(model: ModelSpec) -> dict[str, Shape]:
    """Name -> full shape of every parameter."""
    return {name: parameter.shape for name, parameter in parameters_of(model).items()}


def decaying(model: ModelSpec) -> frozenset[str]:
    """The names that weight decay applies to: matrices, not norms and biases."""
    table = parameters_of(model)
    return frozenset(name for name, parameter in table.items() if parameter.start == "drawn")


def _matrix(*shape: int) -> Parameter:
    return Parameter(shape, "drawn")


def _bias(*shape: int) -> Parameter:
    return Parameter(shape, "zeros")


def _of_layer(model: ModelSpec, layer: LayerSpec) -> Parameters:
    d_model = model.d_model
    table = Parameters()
    for half, own in (
        ("attention", _of_attention(layer.attention, d_model)),
        ("ffn", _of_ffn(layer.ffn, d_model)),
    ):
        if layer.norms != "post":
            table |= _of_norm(model.norm, f"{half}_norm", d_model)
        table |= {f"{half}.{name}": parameter for name, parameter in own.items()}
        if layer.norms != "pre":
            table |= _of_norm(model.norm, f"{half}_post_norm", d_model)
    return table


def _of_norm(norm: Norm, name: str, width: int) -> Parameters:
    match norm:
        case RmsNorm():
            return {f"{name}.weight": _rms_weight(norm, width)}
        case LayerNorm():
            return {f"{name}.weight": Parameter((width,), "ones"), f"{name}.bias": _bias(width)}
        case _:
            assert_never(norm)


def _rms_weight(norm: RmsNorm, width: int) -> Parameter:
    """With the unit offset a weight is what is added to 1."""
    return Parameter((width,), "zeros" if norm.unit_offset else "ones")


def _of_attention(attention: Gqa, d_model: int) -> Parameters:
    query = (attention.heads, attention.head_dim)
    key = (attention.kv_heads, attention.head_dim)
    table = Parameters()
    for letter, heads in (("q", query), ("k", key), ("v", key)):
        table[f"w{letter}"] = _matrix(*heads, d_model)
        if attention.bias:
            table[f"b{letter}"] = _bias(*heads)
    if attention.qk_norm is not None:
        for name in ("q_norm", "k_norm"):
            table[name] = _rms_weight(attention.qk_norm, attention.head_dim)
    table["wo"] = _matrix(d_model, *query)
    if attention.bias:
        table["bo"] = _bias(d_model)
    return table


def _of_ffn(ffn: Ffn, d_model: int) -> Parameters:
    match ffn:
        case Swiglu() | Geglu():
            inner = ("gate", "up")
        case Gelu():
            inner = ("up",)
        case _:
            assert_never(ffn)
    table = Parameters()
    for name in inner:
        table[f"w_{name}"] = _matrix(ffn.d_ff, d_model)
        if ffn.bias:
            table[f"b_{name}"] = _bias(ffn.d_ff)
    table["w_down"] = _matrix(d_model, ffn.d_ff)
    if ffn.bias:
        table["b_down"] = _bias(d_model)
    return table
