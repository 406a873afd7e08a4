"""What a Hugging Face folder calls the parameters of a model, and the shapes they have there.

Our names follow the graph; theirs are the same in every family, but for the norms: what stands
before and after each half of a layer decides which of their names are taken. A matrix is stored by
both as [rows, columns] with the elements of heads merged, so nothing is ever transposed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from compiler.build_graph import build_graph
from compiler.graph import Block, Parameter
from compiler.schema.model import ModelSpec

OUTSIDE = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
"""Of the model."""

_INNER = {
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
    "ffn.w_gate": "mlp.gate_proj.weight",
    "ffn.w_up": "mlp.up_proj.weight",
    "ffn.w_down": "mlp.down_proj.weight",
    "ffn.b_gate": "mlp.gate_proj.bias",
    "ffn.b_up": "mlp.up_proj.bias",
    "ffn.b_down": "mlp.down_proj.bias",
}
_NORMS = {
    "pre": {
        "attention_norm.weight": "input_layernorm.weight",
        "ffn_norm.weight": "post_attention_layernorm.weight",
    },
    "both": {
        "attention_norm.weight": "input_layernorm.weight",
        "attention_post_norm.weight": "post_attention_layernorm.weight",
        "ffn_norm.weight": "pre_feedforward_layernorm.weight",
        "ffn_post_norm.weight": "post_feedforward_layernorm.weight",
    },
    "post": {
        "attention_post_norm.weight": "post_attention_layernorm.weight",
        "ffn_post_norm.weight": "post_feedforward_layernorm.weight",
    },
}

UNUSED = ("rotary_emb.inv_freq",)
"""Ends of tensors that old folders hold and nobody reads: they follow from config.json."""


class Unnamed(ValueError):
    """No family has such a parameter; the message is its name."""


@dataclass(frozen=True)
class Names:
    """Ours -> theirs: of the model, and of a layer (`layers.3.` is `model.layers.3.`)."""

    model: Mapping[str, str]
    layer: Mapping[str, str]

    def of(self, name: str) -> str:
        if name in self.model:
            return self.model[name]
        _, index, rest = name.split(".", 2)
        return f"model.layers.{index}.{self.layer[rest]}"


@dataclass(frozen=True)
class Stored:
    """One tensor of a folder: their name, and the shape as a matrix or a vector."""

    name: str
    shape: tuple[int, ...]


def names_of(model: ModelSpec) -> Names:
    """The names that this model needs, in the order of the forward pass; raises Unnamed."""
    graph = build_graph(model)
    layer: dict[str, str] = {}
    for kind, block in zip(model.layer.kinds, graph.kinds, strict=True):
        known = _INNER | _NORMS[kind.norms]
        for parameter in block.parameters:
            theirs = known.get(parameter.name)
            if theirs is None or layer.setdefault(parameter.name, theirs) != theirs:
                raise Unnamed(f"layers.*.{parameter.name}")
    ends = ("embedding.weight", *(p.name for p in graph.head.parameters if not p.tied_to))
    unnamed = [name for name in ends if name not in OUTSIDE]
    if unnamed:
        raise Unnamed(unnamed[0])
    return Names({name: OUTSIDE[name] for name in ends}, layer)


def stored_by(model: ModelSpec) -> dict[str, Stored]:
    """Every parameter by our name, as a folder stores it; raises Unnamed."""
    names = names_of(model)
    return {
        name: Stored(names.of(name), matrix_shape(parameter, instance.block))
        for instance in build_graph(model).instances()
        for parameter in instance.block.parameters
        if not parameter.tied_to
        for name in (instance.full_name(parameter),)
    }


def matrix_shape(parameter: Parameter, block: Block) -> tuple[int, ...]:
    """[rows, columns] of a matrix, [elements] of a vector, those of heads included."""
    return tuple(math.prod(block.size(dim) for dim in side) for side in parameter.sides)
