"""build_graph: a checked model -> ModelGraph."""

from __future__ import annotations

from compiler.components.attention import attention
from compiler.components.builder import MASK_INPUTS, Builder
from compiler.components.ffn import ffn
from compiler.components.norm import norm
from compiler.graph import Block, Component, LossTerm, ModelGraph, Normal, Value
from compiler.operators import Add, CrossEntropy, Embedding, Linear, Scale, Softcap
from compiler.schema.model import LayerSpec, ModelSpec

TOKENS = ("batch", "seq")
STREAM = ("batch", "seq", "d_model")
LOSS_REGION = "loss"


def build_graph(model: ModelSpec) -> ModelGraph:
    """One block for the embedding, one per kind of layer, one for final norm, head and loss."""
    kinds = tuple(
        _layer(model, kind, _kind_name(model, index), _kind_path(model, index))
        for index, kind in enumerate(model.layer.kinds)
    )
    return ModelGraph(_embedding(model), kinds, model.layer.indices, _head(model))


def _kind_name(model: ModelSpec, index: int) -> str:
    return "layer" if len(model.layer.kinds) == 1 else f"layer_{index}"


def _kind_path(model: ModelSpec, index: int) -> str:
    """As the rows of `compiler.meaning` call it."""
    return "model.layer" if len(model.layer.kinds) == 1 else f"model.layer[{index}]"


def _declare_vocab(builder: Builder, model: ModelSpec) -> None:
    builder.dim("vocab", model.vocab, "model.vocab")


def _declare_stream(builder: Builder, model: ModelSpec) -> None:
    builder.dim("d_model", model.d_model, "model.d_model")


def _embedding(model: ModelSpec) -> Block:
    tokens = Value("tokens", TOKENS, "index")
    builder = Builder("embedding", (tokens,), Component("model.embedding", "embedding"))
    _declare_vocab(builder, model)
    _declare_stream(builder, model)
    weight = builder.parameter("weight", ("vocab", "d_model"), Normal(model.init.std))
    x = builder.apply("x", Embedding(), "tokens", weight)
    if model.embedding.scale != 1.0:
        x = builder.apply("x_scaled", Scale(model.embedding.scale), x)
    return builder.finish(x)


def _layer(model: ModelSpec, layer: LayerSpec, name: str, path: str) -> Block:
    """x + attention, then x + ffn, each normalised before, after, or both."""
    sides = tuple(Value(side, TOKENS, "index") for side in MASK_INPUTS)
    builder = Builder(name, (Value("x", STREAM, "compute"), *sides), Component(path, "layer"))
    _declare_stream(builder, model)
    init = Normal(model.init.std)

    def before(output: str, x: str) -> str:
        if layer.norms == "post":
            return x
        with builder.at("model.norm", model.norm):
            return norm(builder, model.norm, f"{output}_in", x, f"{output}_norm.weight")

    def after(output: str, x: str) -> str:
        if layer.norms == "pre":
            return x
        with builder.at("model.norm", model.norm):
            return norm(builder, model.norm, f"{output}_normed", x, f"{output}_post_norm.weight")

    h = before("attention", "x")
    with builder.at(".attention", layer.attention):
        mixed = attention(builder, layer.attention, h, init)
    middle = builder.apply("x_mid", Add(), "x", after("attention", mixed))
    h = before("ffn", middle)
    with builder.at(".ffn", layer.ffn):
        mixed = ffn(builder, layer.ffn, h, init)
    return builder.finish(builder.apply("x_out", Add(), middle, after("ffn", mixed)))


def _head(model: ModelSpec) -> Block:
    """Final norm, projection to the vocabulary, loss: a sum over the valid tokens."""
    inputs = (Value("x", STREAM, "compute"), Value("targets", TOKENS, "index"))
    builder = Builder("head", inputs, Component("model.head", "head"))
    _declare_vocab(builder, model)
    _declare_stream(builder, model)
    with builder.at("model.norm", model.norm):
        h = norm(builder, model.norm, "h", "x", "final_norm.weight")
    tied_to = "embedding.weight" if model.head.tied else ""
    weight = builder.parameter("head.weight", ("vocab", "d_model"), Normal(model.init.std), tied_to)
    builder.region = LOSS_REGION
    logits = builder.apply("logits", Linear(), h, weight)
    if model.head.softcap is not None:
        logits = builder.apply("logits_capped", Softcap(model.head.softcap), logits)
    loss = builder.apply("loss", CrossEntropy(), logits, "targets")
    return builder.finish(loss, (LossTerm(loss),))
