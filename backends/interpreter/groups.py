"""Groups of ranks over mesh atoms, as index tensors, and how a tensor lies on the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from compiler.mesh import Mesh
from compiler.placement import Layout


@dataclass(frozen=True, eq=False)
class Groups:
    """All groups over some atoms.

    members   [groups, size] ranks, in the order of their position in the group
    group     [ranks] which group a rank is in
    position  [ranks] where in it, outermost atom first
    """

    members: Tensor
    group: Tensor
    position: Tensor

    @property
    def size(self) -> int:
        return self.members.shape[1]


@lru_cache(maxsize=256)
def groups_over(mesh: Mesh, atoms: tuple[str, ...]) -> Groups:
    listed = mesh.groups(atoms)
    position = [mesh.index(rank, atoms) for rank in range(mesh.world)]
    members = torch.tensor([sorted(ranks, key=position.__getitem__) for ranks in listed])
    group = torch.empty(mesh.world, dtype=torch.long)
    for index, ranks in enumerate(listed):
        group[ranks] = index
    return Groups(members, group, torch.tensor(position))


def sum_over(mesh: Mesh, atoms: tuple[str, ...], x: Tensor) -> Tensor:
    """x [ranks, ...]: every rank gets the sum over its group."""
    if not atoms:
        return x
    groups = groups_over(mesh, atoms)
    return x[groups.members].sum(1)[groups.group]


def cut(mesh: Mesh, where: Layout, dims: tuple[str, ...], whole: Tensor) -> Tensor:
    """What each rank holds of `whole`: [ranks, ...]. Atoms of one dimension nest, outermost
    first."""
    held = whole.expand(mesh.world, *whole.shape)
    for axis, dim in enumerate(dims, start=1):
        atoms = where.cuts(dim)
        if not atoms:
            continue
        groups = groups_over(mesh, atoms)
        parts = torch.unflatten(held, axis, (groups.size, -1))
        held = parts.movedim(axis, 1)[torch.arange(mesh.world), groups.position]
    return held.clone()


def first_index(mesh: Mesh, where: Layout, dim: str, local: int) -> Tensor:
    """[ranks]: the global index of element 0 of `dim`, of which a rank holds `local`."""
    atoms = where.cuts(dim)
    if not atoms:
        return torch.zeros(mesh.world, dtype=torch.long)
    return groups_over(mesh, atoms).position * local
