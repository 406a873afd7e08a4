"""ModelGraph: what is computed, nothing about where.

Blocks (embedding, layer kinds, head) are lists of operators over named dimensions. The model is
a sequence of block instances, so its size does not grow with depth: 126 layers of one kind are
one block and 126 indices. Loss terms may hang on any block; parameters may have several uses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from compiler.operators import Operator
from compiler.precision import Precision


@dataclass(frozen=True)
class Normal:
    """Initial weights drawn from a normal distribution."""

    std: float


@dataclass(frozen=True)
class Ones:
    """Initial weights all one."""


@dataclass(frozen=True)
class Zeros:
    """Initial weights all zero: biases, and norms kept as their distance from one."""


Init = Normal | Ones | Zeros


@dataclass(frozen=True)
class Component:
    """The part of a model that something was built for: its path in the spec (`model.layer[1]` is
    the second kind of layer of a pattern), and what stands there (`gqa`)."""

    path: str
    name: str

    def __str__(self) -> str:
        return f"{self.path} ({self.name})"

    def row(self, name: str) -> str:
        """The path of a row of it, as all kinds of layers have it: `model.layer.ffn.d_ff`."""
        return re.sub(r"\[\d+\]", "", f"{self.path}.{name}")


@dataclass(frozen=True)
class Parameter:
    """A weight of one block. `name` is local; `tied_to` is the full name of the owner, or ''.

    `sides` say how it is stored, as the operators that read it ask: the dimensions of a vector, or
    those of the rows and of the columns of a matrix.
    """

    name: str
    dims: tuple[str, ...]
    sides: tuple[tuple[str, ...], ...]
    init: Init
    origin: Component
    tied_to: str = ""

    @property
    def value(self) -> Value:
        """As the operators read it: gathered, in the compute dtype."""
        return Value(self.name, self.dims, "compute")

    @property
    def decays(self) -> bool:
        """Weight decay applies to matrices, not to biases and norms."""
        return isinstance(self.init, Normal)


@dataclass(frozen=True)
class Dimension:
    """A named size, declared once: every table of sizes, paths and constants reads it here.

    path      of the row of the spec that gives the size, such as `model.layer.ffn.d_ff`
    formula   how it follows from other dimensions, where no row gives it; `path` is then only the
              place that it belongs to
    """

    name: str
    size: int
    path: str
    formula: str = ""

    @property
    def constant(self) -> str:
        """Its name in a generated program."""
        return self.name.upper()


@dataclass(frozen=True)
class Value:
    """A tensor over named dimensions."""

    name: str
    dims: tuple[str, ...]
    precision: Precision


@dataclass(frozen=True)
class Node:
    """One operator application. `region` names the chunked region it belongs to, or ''."""

    outputs: tuple[Value, ...]
    operator: Operator
    inputs: tuple[str, ...]
    origin: Component
    region: str = ""


def apply_operator(
    operator: Operator,
    outputs: tuple[str, ...],
    inputs: tuple[Value, ...],
    origin: Component,
    region: str,
) -> Node:
    """`outputs = operator(inputs)`, with the dimensions and precisions that the operator says."""
    dims = operator.infer(tuple(value.dims for value in inputs))
    precisions = operator.precisions(tuple(value.precision for value in inputs))
    made = zip(outputs, dims, precisions, strict=True)
    values = tuple(Value(name, of, precision) for name, of, precision in made)
    return Node(values, operator, tuple(value.name for value in inputs), origin, region)


Normaliser = Literal["valid tokens", "sequences", "step"]
"""What a loss term is divided by: the number of valid tokens or of sequences in the global batch,
or, once per step, nothing (then it is the mean over the microbatches of the step)."""


@dataclass(frozen=True)
class LossTerm:
    """A scalar of a block that the loss of the model adds, divided by `normaliser`."""

    value: str
    normaliser: Normaliser = "valid tokens"


@dataclass(frozen=True)
class Block:
    """A list of operators with its parameters, over `dimensions` and batch and seq.

    `inputs[0]` flows in from the block before, `outputs[0]` to the one after, beside any losses;
    the output of the last block is its loss. The other inputs
    are side inputs that every block may read (tokens, positions, documents, targets).
    """

    name: str
    inputs: tuple[Value, ...]
    parameters: tuple[Parameter, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    losses: tuple[LossTerm, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Every dimension but batch and seq."""
        return {dimension.name: dimension.size for dimension in self.dimensions}

    def size(self, dim: str) -> int:
        return self.sizes[dim]

    def elements(self, parameter: Parameter) -> int:
        return math.prod(self.size(dim) for dim in parameter.dims)

    def values(self) -> dict[str, Value]:
        """Every value by name, parameters included."""
        known = {value.name: value for value in self.inputs}
        known |= {p.name: p.value for p in self.parameters}
        return known | {value.name: value for node in self.nodes for value in node.outputs}


@dataclass(frozen=True)
class Instance:
    """One use of a block; full parameter names are `prefix` + local name."""

    prefix: str
    block: Block

    def full_name(self, parameter: Parameter) -> str:
        return parameter.tied_to or self.prefix + parameter.name


@dataclass(frozen=True)
class ModelGraph:
    """embedding, then `kinds[layers[i]]` for each layer i, then head."""

    embedding: Block
    kinds: tuple[Block, ...]
    layers: tuple[int, ...]
    head: Block

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (self.embedding, *self.kinds, self.head)

    def instances(self) -> Iterator[Instance]:
        yield Instance("embedding.", self.embedding)
        for index, kind in enumerate(self.layers):
            yield Instance(f"layers.{index}.", self.kinds[kind])
        yield Instance("", self.head)

    def origins(self) -> dict[str, Component]:
        """What each parameter with storage of its own was built for, by its full name."""
        return {
            instance.full_name(parameter): parameter.origin
            for instance in self.instances()
            for parameter in instance.block.parameters
            if not parameter.tied_to
        }

    def count(self, block: Block) -> int:
        """How often a block stands in the model."""
        if block in (self.embedding, self.head):
            return 1
        return self.layers.count(self.kinds.index(block))
