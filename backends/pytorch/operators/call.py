"""Call: what a printer sees of one statement."""

from __future__ import annotations

from dataclasses import dataclass

from backends.pytorch.names import Names
from compiler.placement import Layout


@dataclass(frozen=True)
class Argument:
    """An input: the value's name in the rank program, its Python expression, how it lies."""

    name: str
    text: str
    dims: tuple[str, ...]
    layout: Layout


@dataclass(frozen=True)
class Call:
    """The inputs of an operator, in order, and the constants of its block."""

    arguments: tuple[Argument, ...]
    output_dims: tuple[tuple[str, ...], ...]
    names: Names

    def text(self, index: int) -> str:
        return self.arguments[index].text

    def texts(self) -> str:
        return ", ".join(argument.text for argument in self.arguments)
