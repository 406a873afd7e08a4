"""Walk: what lowering one block knows so far, and the statements it has written."""

from __future__ import annotations

from dataclasses import dataclass, field

from compiler.graph import Block, Component, Value
from compiler.lower.redistribute import redistribution
from compiler.mesh import Mesh
from compiler.placement import Layout, Placement, layout
from compiler.plan import PhasePlan
from compiler.precision import Precision
from compiler.rank_program import Collective, Compute, Kept, LocalValue, Region, Statement

Dims = tuple[str, ...]
Line = Compute | Collective

_SUFFIX = {
    "all_gather": "gathered",
    "reduce_scatter": "scattered",
    "all_reduce": "reduced",
    "all_reduce_max": "reduced",
}


@dataclass
class Walk:
    """Mutable while one block is lowered. `origin` is that of the node being lowered; `region`
    collects the lines of an open region."""

    phase: PhasePlan
    block: Block
    origin: Component
    dims: dict[str, Dims] = field(default_factory=dict[str, Dims])
    layouts: dict[str, Layout] = field(default_factory=dict[str, Layout])
    precisions: dict[str, Precision] = field(default_factory=dict[str, Precision])
    statements: list[Statement] = field(default_factory=list[Statement])
    region: list[Line] | None = None
    moved: dict[tuple[str, str, Placement], str] = field(
        default_factory=dict[tuple[str, str, Placement], str]
    )

    @property
    def mesh(self) -> Mesh:
        return self.phase.mesh

    def tensor_atoms(self) -> tuple[str, ...]:
        """Atoms that tensors lie on. Stages do not share tensors: a block runs on one of them."""
        return tuple(atom for axis, atoms in self.mesh.axes if axis != "pp" for atom in atoms)

    def define(self, value: Value, where: Layout) -> LocalValue:
        name, dims = value.name, value.dims
        self.dims[name], self.layouts[name], self.precisions[name] = dims, where, value.precision
        return LocalValue(name, dims, where, value.precision, Kept.DROPPED)

    def described(self, name: str) -> LocalValue:
        """A value that is known, as it lies."""
        known = self.dims[name], self.layouts[name], self.precisions[name]
        return LocalValue(name, *known, Kept.DROPPED)

    def bring(self, name: str, want: Layout) -> str:
        """The value in the placement asked for; an axis is moved whole, in one collective.

        A dimension cut twice is put together the other way round, from the innermost cut.
        """
        nested = self.phase.cut("seq")
        innermost_first = sorted(
            self.mesh.axes,
            key=lambda axis: max(map(nested.index, set(axis[1]) & set(nested)), default=-1),
            reverse=True,
        )
        for axis, atoms in innermost_first:
            have = self.layouts[name]
            moved = [atom for atom in atoms if have.on(atom) != want.on(atom)]
            if moved:
                name = self._move(name, axis, atoms, want.on(moved[0]))
        return name

    def _move(self, name: str, axis: str, atoms: Dims, want: Placement) -> str:
        key = (name, axis, want)
        if key in self.moved:
            return self.moved[key]
        have = self.layouts[name]
        step = redistribution(have.on(atoms[0]), want)
        where = layout(self.mesh, dict(have.entries) | dict.fromkeys(atoms, want))
        inside = self._defined_in_region(name)
        moved = Value(f"{name}_{_SUFFIX[step.pair]}", self.dims[name], self.precisions[name])
        local = self.define(moved, where)
        line = Collective((local,), step.pair, axis, atoms, step.dim, (name,), self.origin)
        # a value from outside a region is moved outside, once, not once a piece
        target = self.region if self.region is not None and inside else self.statements
        target.append(line)
        self.moved[key] = local.name
        return local.name

    def compute(self, line: Compute) -> None:
        (self.statements if self.region is None else self.region).append(line)

    def open_region(self) -> None:
        self.region = []

    def close_region(self, name: str) -> None:
        """Fold the lines of the open region into one statement, cut along seq."""
        lines = tuple(self.region or ())
        self.region = None
        inner = {value.name for line in lines for value in line.outputs}
        read = dict.fromkeys(name for line in lines for name in line.inputs if name not in inner)
        weights = {parameter.name for parameter in self.block.parameters}
        self.statements.append(
            Region(
                name,
                "seq",
                self.phase.loss_chunks,
                tuple(name for name in read if name not in weights),
                tuple(name for name in read if name in weights),
                lines,
                lines[-1].outputs,
                lines[0].origin,
            )
        )

    def _defined_in_region(self, name: str) -> bool:
        return any(value.name == name for line in self.region or () for value in line.outputs)
