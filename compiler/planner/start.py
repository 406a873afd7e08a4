"""What a plan that starts from the weights of others needs of its model."""

from __future__ import annotations

from compiler.huggingface.names import Unnamed, names_of
from compiler.planner.choices import offer
from compiler.planner.context import Context
from compiler.problems.model import OtherRotaryPairs, UnnamedParameter


def check_start(context: Context) -> None:
    """A folder of `init_from` has every parameter under a name, and heads in its own order."""
    model, path = context.spec.model, "model.layer.attention.rope.pairs"
    if context.spec.train.init_from is None:
        return
    ropes = [kind.attention.rope for kind in model.layer.kinds]
    if any(rope is not None and rope.pairs == "interleaved" for rope in ropes):
        context.problem(
            OtherRotaryPairs(
                span=context.span(path),
                other_span=context.span("train.init_from"),
                choices=offer(context, {path: "half"}),
            )
        )
    try:
        names_of(model)
    except Unnamed as unnamed:
        context.problem(
            UnnamedParameter(
                span=context.span("train.init_from"),
                parameter=str(unnamed),
                other_span=context.span("model"),
            )
        )
