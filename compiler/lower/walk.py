"""Walk: what lowering one block knows so far, and the statements it has written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from compiler.graph import Block, Component, Value
from compiler.internal_error import Defect, InternalError
from compiler.lower.moves import Move, Nesting, NoMoves, moved, moves, whole_cuts
from compiler.lower.redistribute import NoCollective, Step, redistribution
from compiler.mesh import Mesh
from compiler.pairs import Pair
from compiler.placement import Layout, Placement
from compiler.plan import PhasePlan
from compiler.rank_program import Collective, Compute, Kept, LocalValue, Region, Statement

Dims = tuple[str, ...]
Line = Compute | Collective

_SUFFIX: dict[Pair, str] = {
    "all_gather": "gathered",
    "all_gather_invariant": "gathered",
    "reduce_scatter": "scattered",
    "all_reduce_replicate": "reduced",
    "all_reduce": "reduced",
    "all_reduce_max": "reduced",
    "all_to_all": "exchanged",
    "replicate": "replicated",
    "slice": "sliced",
}


@dataclass
class Walk:
    """Mutable while one block is lowered. `origin` is that of the node being lowered; `region`
    collects the lines of an open region."""

    phase: PhasePlan
    block: Block
    origin: Component
    values: dict[str, LocalValue] = field(default_factory=dict[str, LocalValue])
    statements: list[Statement] = field(default_factory=list[Statement])
    region: list[Line] | None = None
    moved: dict[tuple[str, Dims, Placement], str] = field(
        default_factory=dict[tuple[str, Dims, Placement], str]
    )

    @property
    def mesh(self) -> Mesh:
        return self.phase.mesh

    def define(self, value: Value, where: Layout) -> LocalValue:
        """A value that lies so on the ranks; `keep` says later what the backward finds of it."""
        local = LocalValue(value.name, value.dims, where, value.precision, Kept.DROPPED)
        self.values[value.name] = local
        return local

    def bring(self, name: str, want: Layout) -> str:
        """The value in the layout asked for, by as few collectives as its cuts allow."""
        now = name
        try:
            for move in moves(self.mesh, self.nesting, self.values[name].layout, want):
                for step in redistribution(move.have, move.want):
                    now = self._move(now, move, step)
        except (NoCollective, NoMoves) as error:
            defect = Defect(str(error), self.block.name, "", now, self.origin)
            raise InternalError(defect) from error
        return now

    def asked(self, name: str, want: Layout) -> Layout:
        """What to bring an input to: a cut that is in the way of a gather is gathered with it."""
        return whole_cuts(self.mesh, self.nesting, self.values[name].layout, want)

    @property
    def nesting(self) -> Nesting:
        return dict(self.phase.cuts)

    def _move(self, name: str, move: Move, step: Step) -> str:
        key = (name, move.atoms, step.want)
        if key in self.moved:
            return self.moved[key]
        have = self.values[name]
        where = moved(self.mesh, have.layout, replace(move, want=step.want))
        inside = self._defined_in_region(name)
        made = f"{name}_{_SUFFIX[step.pair]}"
        if made in self.values:  # the same value, moved over another axis
            made = f"{made}_{move.axis}"
        local = self.define(Value(made, have.dims, have.precision), where)
        line = Collective(
            (local,),
            step.pair,
            move.axis,
            move.atoms,
            step.dim,
            (name,),
            self.origin,
            step.to_dim,
        )
        # A value from outside a region is moved there once, not once for each piece.
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
