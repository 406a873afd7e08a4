"""Stages of a pipeline on tensors [ranks, ...]: virtual stage s lives on the ranks whose place on
pp is s mod pp; everyone else holds zeros."""

from __future__ import annotations

import torch
from torch import Tensor

from backends.interpreter.groups import groups_over
from compiler.mesh import Mesh


def kept_on(mesh: Mesh, x: Tensor, stage: int) -> Tensor:
    """x on the ranks of a stage, zeros elsewhere."""
    atoms = mesh.axis("pp")
    if not atoms:
        return x
    groups = groups_over(mesh, atoms)
    here = groups.position == stage % groups.size
    return torch.where(here.reshape(-1, *(1,) * (x.dim() - 1)), x, torch.zeros_like(x))


def arrived(mesh: Mesh, x: Tensor, stage: int) -> Tensor:
    """What the stage before sent, on every rank: its holder's tensor, to be read on `stage`.

    x is zero off the stage that made it, so the sum over pp is that stage's.
    """
    atoms = mesh.axis("pp")
    if not atoms:
        return x
    groups = groups_over(mesh, atoms)
    return kept_on(mesh, x[groups.members].sum(1)[groups.group], stage)


def over_ends(mesh: Mesh, atoms: tuple[str, ...], x: Tensor) -> Tensor:
    """The sum over the first and the last rank of pp, on both; others keep theirs."""
    groups = groups_over(mesh, atoms)
    ends = x[groups.members[:, [0, -1]]].sum(1)[groups.group]
    is_end = (groups.position == 0) | (groups.position == groups.size - 1)
    return torch.where(is_end.reshape(-1, *(1,) * (x.dim() - 1)), ends, x)
