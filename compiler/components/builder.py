"""Builder: collects the parameters and nodes of one block while components append to it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from compiler.graph import (
    Block,
    Component,
    Dimension,
    Init,
    LossTerm,
    Node,
    Parameter,
    Value,
    apply_operator,
)
from compiler.operators import Operator
from dsl.schema import entry_name

KEY_INPUTS = ("key_positions", "key_documents")
MASK_INPUTS = ("positions", "documents", *KEY_INPUTS)
"""What attention reads beside q, k, v: of its queries, and of all keys."""


@dataclass
class Builder:
    """Mutable while one block is built; `finish` returns the frozen Block.

    A name may be assigned once; a second value of the same name is a defect of a component.
    `origin` is the component being built: all that is declared and appended carries it.
    """

    block: str
    inputs: tuple[Value, ...]
    origin: Component
    dimensions: dict[str, Dimension] = field(default_factory=dict[str, Dimension])
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    nodes: list[Node] = field(default_factory=list[Node])
    region: str = ""

    def __post_init__(self) -> None:
        self.known = {value.name: value for value in self.inputs}

    @contextmanager
    def at(self, path: str, entry: object) -> Generator[None, None, None]:
        """While `entry` of the spec is built, which stands at `path`: one that begins with a dot
        is inside the component around it."""
        around = self.origin
        inside = around.path + path if path.startswith(".") else path
        self.origin = Component(inside, entry_name(type(entry)))
        try:
            yield
        finally:
            self.origin = around

    def dim(self, name: str, size: int, path: str = "", formula: str = "") -> str:
        """Declare a dimension; two uses must agree.

        Its size is the row of that name in the entry being built, or the row at `path`, or follows
        from other dimensions by `formula` (`nope_dim + rope_dim`).
        """
        declared = Dimension(name, size, path or self.origin.row(name), formula)
        known = self.dimensions.setdefault(name, declared)
        if known != declared:
            raise ValueError(f"{self.block}: {name} is both {known} and {declared}")
        return name

    def parameter(self, name: str, dims: tuple[str, ...], init: Init, tied_to: str = "") -> str:
        parameter = Parameter(name, dims, (), init, self.origin, tied_to)
        self.parameters[name] = parameter
        return self._define(parameter.value)

    def apply(self, output: str, operator: Operator, *inputs: str) -> str:
        """Append `output = operator(inputs)` and return the output's name."""
        return self.apply_many((output,), operator, *inputs)[0]

    def apply_many(
        self, outputs: tuple[str, ...], operator: Operator, *inputs: str
    ) -> tuple[str, ...]:
        """Append `a, b = operator(inputs)` and return the names of the outputs."""
        read = tuple(self.known[name] for name in inputs)
        dims = tuple(value.dims for value in read)
        for index, name in enumerate(inputs):
            if name in self.parameters:
                self._store(name, operator.sides(dims, index))
        node = apply_operator(operator, outputs, read, self.origin, self.region)
        self.nodes.append(node)
        return tuple(map(self._define, node.outputs))

    def finish(self, output: str, losses: tuple[LossTerm, ...] = ()) -> Block:
        """The block. Every parameter has been read by an operator, which says how it is stored."""
        unread = [parameter.name for parameter in self.parameters.values() if not parameter.sides]
        if unread:
            raise ValueError(f"{self.block}: no operator reads {', '.join(unread)}")
        return Block(
            self.block,
            self.inputs,
            tuple(self.parameters.values()),
            tuple(self.nodes),
            (output,),
            tuple(self.dimensions.values()),
            losses,
        )

    def _store(self, name: str, sides: tuple[tuple[str, ...], ...]) -> None:
        """Note how a parameter is stored; all operators that read it must agree."""
        parameter = self.parameters[name]
        if parameter.sides not in ((), sides) or sum(sides, ()) != parameter.dims:
            raise ValueError(f"{self.block}: {name} {parameter.dims} cannot be stored as {sides}")
        self.parameters[name] = replace(parameter, sides=sides)

    def _define(self, value: Value) -> str:
        if value.name in self.known:
            raise ValueError(f"{self.block}: {value.name} is defined twice")
        self.known[value.name] = value
        return value.name
