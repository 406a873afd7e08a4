"""A dynamic check of declared placements: what a value says of itself must hold on the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from torch import Tensor

from backends.interpreter.groups import groups_over
from compiler.mesh import Mesh
from compiler.placement import Invariant, Layout, Placement, Replicate
from compiler.rank_program import LocalValue

NOISE = 1e-12
"""Largest difference, against the largest element, of what should be the same: two ranks may
add the same numbers up in another order."""


class PlacementError(Exception):
    """A tensor does not lie as its declaration says."""


def check(mesh: Mesh, sizes: Mapping[str, int], value: LocalValue, tensor: Tensor) -> None:
    """Local shapes; integers where indices are declared, and only there; equality over atoms where
    the value is R or I; of the gradient too where I.

    tensor [ranks, ...]; sizes are full sizes by dimension.
    """
    declared = _declared(mesh, value.layout, value.dims)
    expected = tuple(sizes[dim] // n for dim, n in zip(value.dims, declared.parts, strict=True))
    if tuple(tensor.shape[1:]) != expected:
        raise PlacementError(
            f"{value.name} ({value.layout}) has local shape {tuple(tensor.shape[1:])}, "
            f"declared {expected}"
        )
    if tensor.is_floating_point() == (value.precision == "index"):
        raise PlacementError(f"{value.name} holds {tensor.dtype}, declared {value.precision}")
    _same(mesh, declared.equal, value.name, tensor)
    if declared.invariant and tensor.requires_grad:
        hook = partial(_same, mesh, declared.invariant, f"gradient of {value.name}")
        tensor.register_hook(hook)  # pyright: ignore[reportUnknownMemberType]  untyped in torch


@dataclass(frozen=True)
class _Declared:
    """What a layout says: into how many parts each dimension is cut, over which atoms values are
    equal, and over which of them gradients are too."""

    parts: tuple[int, ...]
    equal: tuple[str, ...]
    invariant: tuple[str, ...]


@lru_cache(maxsize=1024)  # of a block's values, asked again in each layer and microbatch
def _declared(mesh: Mesh, layout: Layout, dims: tuple[str, ...]) -> _Declared:
    return _Declared(
        parts=tuple(mesh.size(layout.cuts(dim)) for dim in dims),
        equal=_atoms(mesh, layout, Replicate, Invariant),
        invariant=_atoms(mesh, layout, Invariant),
    )


def _atoms(mesh: Mesh, layout: Layout, *kinds: type[Placement]) -> tuple[str, ...]:
    return tuple(atom for atom in mesh.tensor_atoms if isinstance(layout.on(atom), kinds))


def _same(mesh: Mesh, atoms: tuple[str, ...], name: str, tensor: Tensor) -> None:
    """Equal over every atom of `atoms`, that is over their product."""
    if not atoms or not tensor.numel():
        return
    held = tensor.detach()[groups_over(mesh, atoms).members]
    difference = (held - held[:, :1]).abs().max()
    if difference and difference > NOISE * held.abs().max():
        raise PlacementError(f"{name} differs by {float(difference):.3g} over {', '.join(atoms)}")
