"""RankProgram: what each rank does. The same operators with every collective written out.

Four parts: the mesh; the parameters with owner, placement and who owes the reduction of their
gradient; block programs (forward only: a collective is a named pair whose backward is fixed); the
step program. What torch does inside (FSDP2, recomputation) is a delegated node with its contract.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from compiler.graph import Component, Dimension, Init, Normaliser, Value
from compiler.mesh import Mesh
from compiler.operators import Operator
from compiler.pairs import Pair
from compiler.placement import I, Layout, R
from compiler.precision import Precision
from compiler.schedules import ScheduleKind


class Kept(Enum):
    """What the backward finds of a value."""

    SAVED = "saved"
    REGATHERED = "re-gathered"
    RECOMPUTED = "recomputed"
    DROPPED = ""  # the backward does not need it


@dataclass(frozen=True)
class LocalValue:
    """A value as one rank holds it."""

    name: str
    dims: tuple[str, ...]
    layout: Layout
    precision: Precision
    kept: Kept

    @property
    def value(self) -> Value:
        """The value itself, wherever it lies."""
        return Value(self.name, self.dims, self.precision)


@dataclass(frozen=True)
class Compute:
    """An operator applied to local tensors; no communication.

    `beside` are tensors that the operator itself keeps for its backward.
    """

    outputs: tuple[LocalValue, ...]
    operator: Operator
    inputs: tuple[str, ...]
    origin: Component
    beside: tuple[LocalValue, ...] = ()


Sharding = Literal["none", "zero1", "zero2", "zero3"]


@dataclass(frozen=True)
class Collective:
    """A named pair (`compiler.pairs`) over a group of atoms. `dim` is the dimension gathered or
    scattered; an all-to-all gathers `dim` and scatters `to_dim`. Its origin is that of the operator
    that asked for it.

    The first input is what moves; further inputs describe it (counts of a ragged exchange).
    """

    outputs: tuple[LocalValue, ...]
    pair: Pair
    axis: str
    atoms: tuple[str, ...]
    dim: str
    inputs: tuple[str, ...]
    origin: Component
    to_dim: str = ""


@dataclass(frozen=True)
class Region:
    """Statements applied to `chunks` equal pieces along `dim` of `sliced`; outputs are summed.

    The backward computes each piece again, so that one piece's values live at a time.
    """

    name: str
    dim: str
    chunks: int
    sliced: tuple[str, ...]
    whole: tuple[str, ...]
    statements: tuple[Compute | Collective, ...]
    outputs: tuple[LocalValue, ...]
    origin: Component

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.sliced + self.whole


Statement = Compute | Collective | Region


@dataclass(frozen=True)
class LocalParameter:
    """A weight as one rank holds it before FSDP cuts it further.

    name            local to its block, e.g. attention.wq
    dims, shape     named dimensions and local sizes
    sides           how it is stored: dimensions of a vector, or of rows and columns of a matrix
    layout          placement on the tensor axes' atoms
    gradient_sums   atoms over which its gradient is P after the backward: owed once per step
    tied_to         full name of the parameter whose storage it is, or ''
    """

    name: str
    dims: tuple[str, ...]
    sides: tuple[tuple[str, ...], ...]
    shape: tuple[int, ...]
    full_shape: tuple[int, ...]
    layout: Layout
    gradient_sums: tuple[str, ...]
    init: Init
    decays: bool
    origin: Component
    tied_to: str = ""


@dataclass(frozen=True)
class LocalLoss:
    """A loss term as one rank has it. On atoms where it is P, ranks have terms of a sum; where it
    is I, each has the loss; where it is R, each has the loss and the gradients of all are summed,
    so that each counts an equal share."""

    value: LocalValue
    normaliser: Normaliser

    def shares(self, mesh: Mesh) -> int:
        """Ranks that count a share each."""
        return mesh.size(tuple(a for a in mesh.tensor_atoms if self.value.layout.on(a) == R))

    def summed(self, mesh: Mesh) -> tuple[str, ...]:
        """Atoms over which the ranks' parts add up to the loss; other stages have none of it."""
        where = self.value.layout
        return tuple(atom.name for atom in mesh.atoms if where.on(atom.name) != I)


@dataclass(frozen=True)
class BlockProgram:
    """One layer kind or model end. `dimensions` have full sizes; `local` are those of a rank.

    `recompute` is given where pipeline ranks differ in it: a kind of layer is then one block
    program for each way, which differ in what the backward finds.
    """

    name: str
    inputs: tuple[LocalValue, ...]
    parameters: tuple[LocalParameter, ...]
    statements: tuple[Statement, ...]
    output: LocalValue
    dimensions: tuple[Dimension, ...]
    local: tuple[tuple[str, int], ...]
    losses: tuple[LocalLoss, ...] = ()
    recompute: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """Full sizes of every dimension but batch and seq."""
        return {dimension.name: dimension.size for dimension in self.dimensions}

    def size(self, dim: str) -> int:
        return self.sizes[dim]

    def local_size(self, dim: str) -> int:
        return dict(self.local)[dim]


@dataclass(frozen=True)
class Fsdp:
    """Contract for a group of parameters, by `block/local name`: compute sees each of them R on
    `shard` and `replicate`; its gradient, P on them, ends reduced exactly once per step, scattered
    over `shard` and whole over `replicate`, as a sum in the reduce dtype.

    copy   atoms whose ranks share one copy of the optimizer state. They are `shard`, or a part of
           `replicate` where only the optimizer state is cut (`StepProgram.row_updates`)
    """

    parameters: tuple[str, ...]
    shard: tuple[str, ...]
    replicate: tuple[str, ...]
    copy: tuple[str, ...]
    sharding: Sharding
    reshard_after_forward: bool
    reduce: Literal["sum"]
    when: Literal["every microbatch", "last microbatch"]

    @property
    def units(self) -> tuple[str, ...]:
        """Blocks that have a parameter of the group: FSDP gathers those of a block together."""
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.parameters))

    @property
    def data(self) -> tuple[str, ...]:
        """Atoms over which gradients are summed."""
        return (*self.replicate, *self.shard)

    @property
    def replicas(self) -> tuple[str, ...]:
        """Data atoms on which each rank holds the same state as its peers."""
        return tuple(atom for atom in self.replicate if atom not in self.copy)


@dataclass(frozen=True)
class Checkpoint:
    """Contract: the backward of `block` finds what its program calls saved and computes the rest,
    collectives included: those that gather again, or all of them where everything is recomputed."""

    block: str
    policy: Literal["selective", "full"]


@dataclass(frozen=True)
class Pipeline:
    """Contract: rank r of pp holds the virtual stages r, r + pp, ...; stage s runs `stages[s]`
    layers, the first after the embedding, the last before the head. Every microbatch passes every
    stage once forward and once backward, in the order of `compiler.schedules.actions`; the
    residual stream goes to the next stage as it lies, its gradient back."""

    schedule: ScheduleKind
    stages: tuple[int, ...]
    microbatches: int


Delegated = Fsdp | Pipeline | Checkpoint


@dataclass(frozen=True)
class TiedSum:
    """Gradients of one weight held by the first and the last rank of pp, summed over the two."""

    atoms: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class GradientSum:
    """Gradients P on `atoms`, summed once per step in one coalesced all-reduce."""

    axis: str
    atoms: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class NormGroup:
    """Parameters whose local squares are summed over exactly the atoms that cut them."""

    atoms: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class RowUpdate:
    """Parameters that are whole on `atoms`. The optimizer of each rank updates its share of the
    rows, in equal chunks rounded up; then an all-gather hands each rank the rows of the others."""

    atoms: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class StepProgram:
    """count valid targets over `count_over`; forward and backward of `microbatches`, each loss term
    divided by its normaliser; `gradient_sums`; `tied_sums`; norm; finite check; clip; optimizer,
    then `row_updates`; schedule."""

    count_over: tuple[str, ...]
    microbatches: int
    gradient_sums: tuple[GradientSum, ...]
    tied_sums: tuple[TiedSum, ...]
    norm: tuple[NormGroup, ...]
    clip: float | None
    row_updates: tuple[RowUpdate, ...]


@dataclass(frozen=True)
class RankProgram:
    """embedding, kinds[layers[i]] for each layer, head; then what happens once per step.

    Parameter names in the step program are `block/local name`: one entry for all layers of a kind.
    """

    mesh: Mesh
    embedding: BlockProgram
    kinds: tuple[BlockProgram, ...]
    layers: tuple[int, ...]
    head: BlockProgram
    step: StepProgram
    delegated: tuple[Delegated, ...]

    @property
    def blocks(self) -> tuple[BlockProgram, ...]:
        return (self.embedding, *self.kinds, self.head)

    @property
    def variants(self) -> tuple[tuple[BlockProgram, ...], ...]:
        """Kinds by what they compute; of each, one for every way to recompute."""
        ways = len(dict.fromkeys(kind.recompute for kind in self.kinds))
        return tuple(self.kinds[i : i + ways] for i in range(0, len(self.kinds), ways))

    @property
    def contracts(self) -> tuple[Fsdp, ...]:
        """One per group of parameters."""
        return tuple(node for node in self.delegated if isinstance(node, Fsdp))

    def contract(self, name: str) -> Fsdp:
        """Of a parameter, by `block/local name`."""
        return next(contract for contract in self.contracts if name in contract.parameters)

    @property
    def data_contract(self) -> Fsdp:
        """Of the parameters that every rank with other tokens holds; its axes are the data's."""
        counted = set(self.step.count_over)
        return next(contract for contract in self.contracts if set(contract.data) == counted)


def stored_name(block: BlockProgram, parameter: LocalParameter) -> str:
    """`block/local name` of the parameter whose storage it is."""
    return parameter.tied_to.replace(".", "/", 1) or f"{block.name}/{parameter.name}"


def local_size(size: int, cuts: tuple[str, ...], mesh: Mesh) -> int:
    """Elements of a dimension on one rank; callers have checked that the cuts divide it."""
    return size // math.prod(mesh.atom_size(atom) for atom in cuts)


__all__ = [
    "BlockProgram",
    "Checkpoint",
    "Collective",
    "Compute",
    "Delegated",
    "Fsdp",
    "GradientSum",
    "Kept",
    "LocalLoss",
    "LocalParameter",
    "LocalValue",
    "NormGroup",
    "Pair",
    "Pipeline",
    "RankProgram",
    "Region",
    "RowUpdate",
    "Statement",
    "StepProgram",
    "TiedSum",
    "Value",
    "local_size",
    "stored_name",
]
