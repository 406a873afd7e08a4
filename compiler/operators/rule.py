"""What every operator says of itself. The facts that cost something have no default.

They are keywords of the class statement: an operator that leaves one out neither type-checks nor
imports, so nothing can count it as free by accident.

    class Linear(
        Definition,
        name="linear",
        work=Product(),
        outputs=("compute",),
        saves=Saves(inputs=(0,)),
    ):
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, assert_never

from compiler.placement import Placement, R, Shard
from compiler.precision import Precision

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """Placements on one atom: `inputs` are needed (redistribute what differs), `outputs` made."""

    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]


@dataclass(frozen=True)
class PerElement:
    """Work that grows with the first input: FLOPs of the forward for each of its elements."""

    flops: float


@dataclass(frozen=True)
class Product:
    """A matrix product: two FLOPs for each multiply-add. Model FLOPs count these and no others."""


Work = PerElement | Product

MadePrecision = Precision | Literal["as input"]
"""Precision of an output: a fixed one, or that of the first input."""


@dataclass(frozen=True)
class Beside:
    """A tensor that the forward of an operator keeps beside its inputs and outputs."""

    name: str
    dims: Dims
    precision: Precision


def nothing(dims: tuple[Dims, ...]) -> tuple[Beside, ...]:
    """No tensors beside inputs and outputs."""
    return ()


@dataclass(frozen=True)
class Saves:
    """What the backward of an operator reads.

    inputs   which inputs, by position
    outputs  which outputs, by position
    beside   from the dimensions of the inputs: tensors that only this operator knows
    """

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    beside: Callable[[tuple[Dims, ...]], tuple[Beside, ...]] = nothing

    @property
    def any(self) -> bool:
        """Whether the backward needs anything that the forward makes."""
        return bool(self.inputs or self.outputs) or self.beside is not nothing


@dataclass(frozen=True)
class Application:
    """`outputs = operator(inputs)`: one step of the expanded form of an operator."""

    outputs: tuple[str, ...]
    operator: Definition
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Definition:
    """Base of the operators.

    name      as dumps and `recompute` lists call it
    work      what the forward costs
    outputs   the precision of each output
    saves     what the backward reads

    The methods describe an operator that works element by element on its first input. One that
    does not overrides them: `infer` and `rule` together, and a product also `contracts`.
    """

    work: ClassVar[Work]
    outputs: ClassVar[tuple[MadePrecision, ...]]
    saves: ClassVar[Saves]
    _name: ClassVar[str]

    def __init_subclass__(
        cls,
        *,
        name: str,
        work: Work,
        outputs: tuple[MadePrecision, ...],
        saves: Saves,
    ) -> None:
        super().__init_subclass__()
        cls._name, cls.work, cls.outputs, cls.saves = name, work, outputs, saves
        if cls.infer is not Definition.infer and cls.rule is Definition.rule:
            raise TypeError(f"{cls.__name__} says `infer`, so it must say `rule` too")
        is_counted = cls.contracts is not Definition.contracts or cls.flops is not Definition.flops
        if isinstance(work, Product) and not is_counted:
            raise TypeError(f"{cls.__name__} is a product: say what it `contracts`, or its `flops`")

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_product(self) -> bool:
        return isinstance(self.work, Product)

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        """Dimensions of each output."""
        return (inputs[0],)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        """The first input's cut wins; the others are brought to it."""
        first = placements[0] if isinstance(placements[0], Shard) else R
        return Rule((first,) * len(placements), (first,))

    def contracts(self, dims: tuple[Dims, ...]) -> Dims:
        """Dimensions of the inputs that it sums over, as a product of matrices does."""
        return ()

    def flops(self, sizes: dict[str, int], dims: tuple[Dims, ...]) -> float:
        """FLOPs of the forward. The backward of a product costs twice as much."""
        match self.work:
            case PerElement(flops=flops):
                return flops * math.prod(sizes[dim] for dim in dims[0])
            case Product():
                terms = {*self.infer(dims)[0], *self.contracts(dims)}
                return 2.0 * math.prod(sizes[dim] for dim in terms)
            case _:
                assert_never(self.work)

    def precisions(self, inputs: tuple[Precision, ...]) -> tuple[Precision, ...]:
        """Of each output, given those of the inputs."""
        return tuple(inputs[0] if made == "as input" else made for made in self.outputs)

    def sides(self, dims: tuple[Dims, ...], index: int) -> tuple[Dims, ...]:
        """How a parameter at input `index` is stored: a vector, or rows and columns of a matrix,
        whose columns are what the operator contracts. FSDP deals out the first side."""
        contracted = self.contracts(dims)
        columns = tuple(dim for dim in dims[index] if dim in contracted)
        rows = tuple(dim for dim in dims[index] if dim not in contracted)
        return (rows, columns) if columns else (rows,)

    def expand(
        self,
        outputs: tuple[str, ...],
        inputs: tuple[str, ...],
        dims: tuple[Dims, ...],
        cut: Dims,
    ) -> tuple[Application, ...]:
        """Operators that compute the same where the dimensions `cut` of the first input are cut
        over ranks; empty where the operator itself can."""
        return ()
