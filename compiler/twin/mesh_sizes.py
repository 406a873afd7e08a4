"""The mesh of a twin: few ranks, with sizes that tell as many pairs of axes apart as possible."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

from compiler.plan import PhasePlan

SMALL_WORLD = 12
"""Ranks up to which a mesh is left as it is."""

LARGEST_WORLD = 72

MOST_TWINS = 2

RINGS = ("pp", "cp")
"""Axes of which a rank's place matters: with two ranks next and previous are the same, and every
permutation is its own inverse, so in some twin they get three at least."""


@dataclass(frozen=True)
class AtomSizes:
    """Ranks on each atom; 1 where the plan has none. Plain tp is all kv."""

    replicate: int = 1
    shard: int = 1
    pp: int = 1
    cp: int = 1
    kv: int = 1
    kv_copy: int = 1

    @property
    def dp(self) -> int:
        return self.replicate * self.shard

    @property
    def tp(self) -> int:
        return self.kv * self.kv_copy

    @property
    def world(self) -> int:
        return math.prod(dataclasses.astuple(self))


def choose_atom_sizes(phase: PhasePlan) -> tuple[AtomSizes, ...]:
    """A mesh that is small and has no two equal atoms stays; others get the fewest ranks, in one
    twin or two, that tell most apart. Every way to recompute has a pipeline rank."""
    mesh = phase.mesh
    own = {"kv" if atom.name == "tp" else atom.name: atom.size for atom in mesh.atoms}
    distinct = len(set(own.values())) == len(own)
    rings = all(own[ring] > 2 for ring in RINGS if ring in own)
    if distinct and rings and mesh.world <= SMALL_WORLD:
        return (AtomSizes(**own),)
    least = len(phase.policies)
    candidates = [sizes for sizes in _candidates(tuple(own)) if sizes.pp >= least]
    choices = (*((one,) for one in candidates), *itertools.combinations(candidates, MOST_TWINS))
    return min(choices, key=_cost)


def _cost(twins: tuple[AtomSizes, ...]) -> tuple[int, int, int]:
    """The most worth first, then the fewest ranks, also at once."""
    worlds = [sizes.world for sizes in twins]
    return -_worth(twins), sum(worlds), max(worlds)


def _candidates(present: tuple[str, ...]) -> list[AtomSizes]:
    """Sizes of 2 to 4 for every atom present."""
    every = (
        AtomSizes(**dict(zip(present, sizes, strict=True)))
        for sizes in itertools.product((2, 3, 4), repeat=len(present))
    )
    return [sizes for sizes in every if sizes.world <= LARGEST_WORLD]


def _worth(twins: tuple[AtomSizes, ...]) -> int:
    """How many pairs of atoms, and rings of more than two ranks, some twin shows."""
    pairs = set[tuple[str, str]]().union(*map(_told_apart, twins))
    return len(pairs) + sum(any(getattr(sizes, ring) > 2 for sizes in twins) for ring in RINGS)


def _told_apart(sizes: AtomSizes) -> set[tuple[str, str]]:
    """Pairs of atoms that differ, of those that are present."""
    named = {atom: size for atom, size in dataclasses.asdict(sizes).items() if size > 1}
    return {(a, b) for a, b in itertools.combinations(named, 2) if named[a] != named[b]}
