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
    names = [atom.name for atom in mesh.atoms]
    others = [name for name in names if name not in atoms]
    grid = torch.arange(mesh.world).reshape([atom.size for atom in mesh.atoms])
    members = grid.permute([names.index(name) for name in (*others, *atoms)])
    members = members.reshape(-1, mesh.size(atoms))
    group, position = torch.empty(2, mesh.world, dtype=torch.long)
    group[members] = torch.arange(len(members)).unsqueeze(1)
    position[members] = torch.arange(members.shape[1])
    return Groups(members, group, position)


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
