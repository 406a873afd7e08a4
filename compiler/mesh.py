"""The mesh: an ordered list of atomic axes over the ranks.

Every axis a person writes (dp, tp) is an ordered product of atoms: dp = replicate x shard,
tp = kv x kv_copy when tp > kv_heads. Axes may share atoms: a second factorisation of the same ranks
(edp x ep x etp beside dp x cp x tp) is more axes over atoms fine enough for both. Placements,
groups, norm counting and checkpoint rows name atoms, so they need to know of no axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Atom:
    """One axis of the mesh that nothing divides further."""

    name: str
    size: int


@dataclass(frozen=True)
class Mesh:
    """Atoms outermost first (rank = row-major index), and the axes they make up. The atoms of an
    axis are in mesh order, and those of pp are in no other axis.

    Atoms of size 1 are left out: an axis of one rank is the empty product.
    """

    atoms: tuple[Atom, ...]
    axes: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def world(self) -> int:
        return math.prod(atom.size for atom in self.atoms)

    def atom_size(self, name: str) -> int:
        return next(atom.size for atom in self.atoms if atom.name == name)

    def axis(self, name: str) -> tuple[str, ...]:
        """Atoms of an axis, outermost first."""
        return dict(self.axes)[name]

    @property
    def tensor_atoms(self) -> tuple[str, ...]:
        """Atoms that tensors lie on, in mesh order: all but those of pp, whose stages hold
        different tensors."""
        stages = dict(self.axes).get("pp", ())
        return tuple(atom.name for atom in self.atoms if atom.name not in stages)

    def name(self, atoms: tuple[str, ...]) -> str:
        """The axis that these atoms make up, or the atoms' own names where they are no axis."""
        return next((axis for axis, whole in self.axes if whole == atoms), "_".join(atoms))

    def parts(self, atoms: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the fewest axes that make up these atoms, outermost first; an atom of an axis
        that is not there as a whole keeps its own name."""
        found: list[tuple[str, ...]] = []
        for _, whole in sorted(self.axes, key=lambda axis: -len(axis[1])):
            taken = {atom for part in found for atom in part}
            if whole and set(whole) <= {*atoms} - taken:
                found.append(whole)
        taken = {atom for part in found for atom in part}
        found += [(atom,) for atom in atoms if atom not in taken]
        order = [atom.name for atom in self.atoms]
        return tuple(self.name(part) for part in sorted(found, key=lambda p: order.index(p[0])))

    def axis_size(self, name: str) -> int:
        return self.size(self.axis(name))

    def size(self, atoms: tuple[str, ...]) -> int:
        """Number of ranks in a group over these atoms."""
        return math.prod(self.atom_size(atom) for atom in atoms)

    def coordinates(self, rank: int) -> dict[str, int]:
        """Index of a rank on every atom."""
        result: dict[str, int] = {}
        for atom in reversed(self.atoms):
            rank, result[atom.name] = divmod(rank, atom.size)
        return result

    def rank(self, coordinates: dict[str, int]) -> int:
        """Inverse of `coordinates`."""
        rank = 0
        for atom in self.atoms:
            rank = rank * atom.size + coordinates[atom.name]
        return rank

    def groups(self, atoms: tuple[str, ...]) -> list[list[int]]:
        """All groups over `atoms`, each listing its ranks in mesh order (ascending)."""
        found: dict[tuple[int, ...], list[int]] = {}
        others = [atom.name for atom in self.atoms if atom.name not in atoms]
        for rank in range(self.world):
            at = self.coordinates(rank)
            found.setdefault(tuple(at[name] for name in others), []).append(rank)
        return list(found.values())

    def index(self, rank: int, atoms: tuple[str, ...]) -> int:
        """Position of a rank inside its group over `atoms` (outermost atom first)."""
        at = self.coordinates(rank)
        position = 0
        for atom in atoms:
            position = position * self.atom_size(atom) + at[atom]
        return position
