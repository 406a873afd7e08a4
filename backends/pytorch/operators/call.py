"""Call: what a printer sees of one statement."""

from __future__ import annotations

from dataclasses import dataclass

from backends.pytorch.names import Names, Value
from compiler.graph import Component
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
    """The inputs of an operator, in order, the component of the spec that it is part of, and the
    constants of its block."""

    arguments: tuple[Argument, ...]
    output_dims: tuple[tuple[str, ...], ...]
    origin: Component
    names: Names

    def constant(self, name: str, value: Value, row: str, note: str = "") -> str:
        """A constant of config.py that holds a row of the component."""
        return self.names.set(name, value, self.origin.row(row), note)

    def text(self, index: int) -> str:
        return self.arguments[index].text

    def texts(self) -> str:
        return ", ".join(argument.text for argument in self.arguments)
