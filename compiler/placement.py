"""How a tensor lies on one mesh atom, and what its gradient then is.

The names are the field's: R replicate (every rank's use adds to the gradient, which is P),
I invariant (same value, same gradient), S(dim) shard, P partial (a sum or a maximum is pending).
A `Layout` gives the placement on every atom where it is not R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compiler.mesh import Mesh


@dataclass(frozen=True)
class Replicate:
    def __str__(self) -> str:
        return "R"


@dataclass(frozen=True)
class Invariant:
    def __str__(self) -> str:
        return "I"


@dataclass(frozen=True)
class Shard:
    dim: str

    def __str__(self) -> str:
        return f"S({self.dim})"


@dataclass(frozen=True)
class Partial:
    reduce: Literal["sum", "max"] = "sum"

    def __str__(self) -> str:
        return f"P({self.reduce})"


Placement = Replicate | Invariant | Shard | Partial
R = Replicate()
I = Invariant()  # noqa: E741  the field's letter


@dataclass(frozen=True)
class Layout:
    """Placement by atom, in mesh order; atoms not named are R."""

    entries: tuple[tuple[str, Placement], ...] = ()

    def on(self, atom: str) -> Placement:
        return next((placement for name, placement in self.entries if name == atom), R)

    def cuts(self, dim: str) -> tuple[str, ...]:
        """Atoms that cut `dim`, in mesh order."""
        return tuple(name for name, placement in self.entries if placement == Shard(dim))

    def sharding_atoms(self) -> tuple[str, ...]:
        """Atoms that cut any dimension."""
        return tuple(name for name, placement in self.entries if isinstance(placement, Shard))

    def __str__(self) -> str:
        return " ".join(f"{name} {placement}" for name, placement in self.entries) or "R"


def layout(mesh: Mesh, placements: dict[str, Placement]) -> Layout:
    """A Layout in mesh order without R entries, so that equal layouts compare equal."""
    ordered = ((atom.name, placements.get(atom.name, R)) for atom in mesh.atoms)
    return Layout(tuple((name, placement) for name, placement in ordered if placement != R))
