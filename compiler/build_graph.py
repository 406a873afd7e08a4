"""build_graph: a checked model -> ModelGraph."""

from __future__ import annotations

from compiler.components.attention import attention
from compiler.components.builder import MASK_INPUTS, Builder
from compiler.components.swiglu import swiglu
from compiler.graph import Block, LossTerm, ModelGraph, Normal, Ones, Value
from compiler.operators import Add, CrossEntropy, Embedding, Linear, RmsNorm
from compiler.schema.model import LayerSpec, ModelSpec

TOKENS = ("batch", "seq")
STREAM = ("batch", "seq", "d_model")
LOSS_REGION = "loss"


def build_graph(model: ModelSpec) -> ModelGraph:
    """One block for the embedding, one a layer kind, one for final norm, head and loss."""
    kinds = tuple(
        _layer(model, kind, _kind_name(model, index))
        for index, kind in enumerate(model.layer.kinds)
    )
    return ModelGraph(_embedding(model), kinds, model.layer.indices, _head(model))


def _kind_name(model: ModelSpec, index: int) -> str:
    return "layer" if len(model.layer.kinds) == 1 else f"layer_{index}"


def _embedding(model: ModelSpec) -> Block:
    builder = Builder(
        "embedding",
        (Value("tokens", TOKENS),),
        {"vocab": model.vocab, "d_model": model.d_model},
    )
    weight = builder.parameter("weight", ("vocab", "d_model"), Normal(model.init.std))
    return builder.finish(builder.apply("x", Embedding(), "tokens", weight))


def _layer(model: ModelSpec, layer: LayerSpec, name: str) -> Block:
    """Pre-norm: x + attention(norm(x)), then x + ffn(norm(x))."""
    sides = tuple(Value(side, TOKENS) for side in MASK_INPUTS)
    builder = Builder(name, (Value("x", STREAM), *sides), {"d_model": model.d_model})
    init, norm = Normal(model.init.std), RmsNorm(model.norm.eps)
    attention_norm = builder.parameter("attention_norm.weight", ("d_model",), Ones())
    h = builder.apply("attention_in", norm, "x", attention_norm)
    middle = builder.apply("x_mid", Add(), "x", attention(builder, layer.attention, h, init))
    ffn_norm = builder.parameter("ffn_norm.weight", ("d_model",), Ones())
    h = builder.apply("ffn_in", norm, middle, ffn_norm)
    return builder.finish(
        builder.apply("x_out", Add(), middle, swiglu(builder, layer.ffn, h, init))
    )


def _head(model: ModelSpec) -> Block:
    """Final norm, projection to the vocabulary, loss: a sum over the valid tokens."""
    builder = Builder(
        "head",
        (Value("x", STREAM), Value("targets", TOKENS)),
        {"vocab": model.vocab, "d_model": model.d_model},
    )
    norm = builder.parameter("final_norm.weight", ("d_model",), Ones())
    tied_to = "embedding.weight" if model.head.tied else ""
    weight = builder.parameter("head.weight", ("vocab", "d_model"), Normal(model.init.std), tied_to)
    h = builder.apply("h", RmsNorm(model.norm.eps), "x", norm)
    builder.region = LOSS_REGION
    logits = builder.apply("logits", Linear(), h, weight)
    loss = builder.apply("loss", CrossEntropy(), logits, "targets")
    return builder.finish(loss, (LossTerm(loss),))
