"""A dynamic check of declared placements: what a value says of itself must hold on the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from backends.interpreter.groups import groups_over
from compiler.mesh import Mesh
from compiler.placement import Invariant, Placement, Replicate
from compiler.rank_program import LocalValue, local_size

NOISE = 1e-12
"""Largest difference, against the largest element, of what is said to be the same: two ranks may
add the same numbers up in another order."""


class PlacementError(Exception):
    """A tensor does not lie as its declaration says."""


def check(mesh: Mesh, sizes: Mapping[str, int], value: LocalValue, tensor: Tensor) -> None:
    """Local shapes; equality over atoms where the value is R or I; of the gradient too where I.

    tensor [ranks, ...]; sizes are full sizes by dimension.
    """
    expected = tuple(local_size(sizes[dim], value.layout.cuts(dim), mesh) for dim in value.dims)
    if tuple(tensor.shape[1:]) != expected:
        raise PlacementError(
            f"{value.name} ({value.layout}) has local shape {tuple(tensor.shape[1:])}, "
            f"declared {expected}"
        )
    _same(mesh, _atoms(mesh, value, Replicate, Invariant), value.name, tensor)
    invariant = _atoms(mesh, value, Invariant)
    if invariant and tensor.requires_grad:
        hook = partial(_same, mesh, invariant, f"gradient of {value.name}")
        tensor.register_hook(hook)  # pyright: ignore[reportUnknownMemberType]  untyped in torch


def _atoms(mesh: Mesh, value: LocalValue, *kinds: type[Placement]) -> tuple[str, ...]:
    """Stages do not share tensors, so nothing is said of pp."""
    shared = (atom for axis, atoms in mesh.axes if axis != "pp" for atom in atoms)
    return tuple(atom for atom in shared if isinstance(value.layout.on(atom), kinds))


def _same(mesh: Mesh, atoms: tuple[str, ...], name: str, tensor: Tensor) -> None:
    """Equal over every atom of `atoms`, that is over their product."""
    if not atoms or not tensor.numel():
        return
    held = tensor.detach()[groups_over(mesh, atoms).members]
    difference = (held - held[:, :1]).abs().max()
    if difference > NOISE * held.abs().max():
        raise PlacementError(f"{name} differs by {float(difference):.3g} over {', '.join(atoms)}")
