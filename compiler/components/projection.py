"""A weight matrix, and its bias where there is one."""

from __future__ import annotations

from compiler.components.builder import Builder
from compiler.graph import Normal, Zeros
from compiler.operators import AddBias, Linear


def projection(
    builder: Builder,
    output: str,
    x: str,
    to: tuple[str, ...],
    of: tuple[str, ...],
    init: Normal,
    bias: bool,
    letter: str = "",
) -> str:
    """x [..., of] -> [..., to] by attention.w<letter> [to, of] and attention.b<letter> [to]."""
    letter = letter or output
    weight = builder.parameter(f"attention.w{letter}", (*to, *of), init)
    return biased(builder, output, x, weight, f"attention.b{letter}" if bias else "", to)


def biased(
    builder: Builder, output: str, x: str, weight: str, bias: str, to: tuple[str, ...]
) -> str:
    """linear(x, weight), plus the parameter `bias` unless it is ''."""
    if not bias:
        return builder.apply(output, Linear(), x, weight)
    added = builder.parameter(bias, to, Zeros())
    product = builder.apply(f"{output}_product", Linear(), x, weight)
    return builder.apply(output, AddBias(), product, added)
