"""The order in which a value's atoms move from one layout to another.

Atoms that cut one dimension nest: an atom may stop or start to cut it only while no atom nested
inside cuts it, or the pieces would come together in another order. Within that, whole axes move in
one collective.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from compiler.mesh import Mesh
from compiler.placement import Layout, Placement, R, Shard, layout

Dims = tuple[str, ...]
Nesting = dict[str, Dims]
"""Atoms that may cut a dimension, outermost first; others nest inside them, in mesh order."""


class NoMoves(Exception):
    """No legal order of moves leads from one layout to the other."""


@dataclass(frozen=True)
class Move:
    """The atoms of `axis`, which are those of a group of ranks, from one placement to another."""

    axis: str
    atoms: Dims
    have: Placement
    want: Placement


def moves(mesh: Mesh, nesting: Nesting, have: Layout, want: Layout) -> Iterator[Move]:
    """What turns `have` into `want`, in a legal order, innermost atoms first.

    Each atom moves at most twice: it is gathered where it is in the way, and goes to its place.
    Raises NoMoves where that does not suffice.
    """
    now, left = have, 2 * len(mesh.tensor_atoms)
    while now != want:
        move = _next(mesh, nesting, now, want) if left else None
        if move is None:
            raise NoMoves(f"no order of moves leads from {have} to {want}")
        yield move
        now, left = moved(mesh, now, move), left - 1


def moved(mesh: Mesh, have: Layout, move: Move) -> Layout:
    return layout(mesh, dict(have.entries) | dict.fromkeys(move.atoms, move.want))


def whole_cuts(mesh: Mesh, nesting: Nesting, have: Layout, want: Layout) -> Layout:
    """`want`, but R on atoms that would have to be gathered on the way and cut again."""
    placements = dict(want.entries)
    for atom in mesh.tensor_atoms:
        left = have.on(atom)
        if isinstance(left, Shard) and want.on(atom) != left:
            for inner in _inside(mesh, nesting, left.dim, atom):
                if have.on(inner) == want.on(inner) == left:
                    placements[inner] = R
    return layout(mesh, placements)


def _next(mesh: Mesh, nesting: Nesting, have: Layout, want: Layout) -> Move | None:
    differing = [atom for atom in reversed(mesh.tensor_atoms) if have.on(atom) != want.on(atom)]
    for atom in differing:
        for axis, atoms in _groups(mesh, atom, have, want):
            if _is_legal(mesh, nesting, atoms, have, want):
                return Move(axis, atoms, have.on(atom), want.on(atom))
    # Something nested inside is in the way of every move: gather the innermost of it first.
    inside = (
        inner
        for atom in differing
        for dim in _dims(have.on(atom), want.on(atom))
        for inner in reversed(_inside(mesh, nesting, dim, atom))
        if have.on(inner) == Shard(dim)
    )
    # Or two atoms wait for each other, each to cut what the other has cut: gather one of them.
    waiting = (atom for atom in differing if isinstance(have.on(atom), Shard))
    first = next(itertools.chain(inside, waiting), None)
    return Move(first, (first,), have.on(first), R) if first is not None else None


def _groups(mesh: Mesh, atom: str, have: Layout, want: Layout) -> Iterator[tuple[str, Dims]]:
    """Axes whose atoms all move as this one does, the largest first, then the atom alone."""
    pair = have.on(atom), want.on(atom)
    axes = [
        (name, atoms)
        for name, atoms in mesh.axes
        if atom in atoms and all((have.on(a), want.on(a)) == pair for a in atoms)
    ]
    yield from sorted(axes, key=lambda axis: -len(axis[1]))
    yield atom, (atom,)


def _is_legal(mesh: Mesh, nesting: Nesting, atoms: Dims, have: Layout, want: Layout) -> bool:
    left, entered = have.on(atoms[0]), want.on(atoms[0])
    for dim in _dims(left, entered):
        nest = _nest(mesh, nesting, dim)
        inside = nest[nest.index(atoms[0]) :]
        if [atom for atom in nest if atom in atoms] != list(atoms):
            return False  # a group counts its ranks in mesh order
        if any(have.on(atom) == Shard(dim) for atom in inside if atom not in atoms):
            return False
        outside = nest[: nest.index(atoms[-1])]
        if entered == Shard(dim) and any(
            have.on(atom) != want.on(atom) and Shard(dim) in (have.on(atom), want.on(atom))
            for atom in outside
            if atom not in atoms
        ):
            return False
    return True


def _dims(*placements: Placement) -> Dims:
    return tuple(placement.dim for placement in placements if isinstance(placement, Shard))


def _nest(mesh: Mesh, nesting: Nesting, dim: str) -> Dims:
    planned = nesting.get(dim, ())
    return (*planned, *(atom for atom in mesh.tensor_atoms if atom not in planned))


def _inside(mesh: Mesh, nesting: Nesting, dim: str, atom: str) -> Dims:
    nest = _nest(mesh, nesting, dim)
    return nest[nest.index(atom) + 1 :]
