"""Laws of the pair table: what each pair does to values, and that its backward is the adjoint.

A placement gives a meaning to what the ranks hold: `whole` reads it, written out here from the
definition and not from the interpreter. R and I: every rank's tensor; S: parts side by side; P: the
sum over ranks. The gradient of R is P and the reverse; those of S and I lie as they do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from backends.interpreter.collectives import collective
from backends.interpreter.groups import groups_over
from compiler.lower.moves import moved, moves
from compiler.lower.redistribute import NoCollective, redistribution
from compiler.mesh import Atom, Mesh
from compiler.pairs import PAIRS, kind_of
from compiler.placement import I, Layout, Partial, Placement, R, Shard, layout

DIMS = ("rows", "columns")
LEGAL = {
    ("R", "S"), ("I", "R"), ("I", "S"), ("S", "R"), ("S", "I"), ("S", "S"),
    ("P(sum)", "R"), ("P(sum)", "I"), ("P(sum)", "S"), ("P(max)", "R"),
}  # fmt: skip
"""The pair table of the design, and I -> S by way of R."""


@dataclass(frozen=True)
class Grid:
    """A mesh with, for each dimension, the order in which its atoms nest."""

    mesh: Mesh
    nesting: dict[str, tuple[str, ...]]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Two or three atoms of different sizes, axes that share some of them."""
    sizes = draw(st.permutations([2, 3, 4]))[: draw(st.sampled_from([2, 3]))]
    names = "abc"[: len(sizes)]
    groups = [part for n in range(1, 4) for part in itertools.combinations(names, n)]
    axes = draw(st.lists(st.sampled_from(groups), unique=True, max_size=4))
    mesh = Mesh(
        tuple(Atom(name, size) for name, size in zip(names, sizes, strict=True)),
        tuple((f"axis{i}", atoms) for i, atoms in enumerate(axes)),
    )
    return Grid(mesh, {dim: tuple(draw(st.permutations(names))) for dim in DIMS})


def placements(*more: Placement) -> st.SearchStrategy[Placement]:
    return st.sampled_from([R, I, *map(Shard, DIMS), *more])


def parts(grid: Grid, where: Layout, dim: str, rank: int) -> tuple[int, int]:
    """(index of the rank's part of a dimension, number of parts), outermost atom first."""
    at, index, count = grid.mesh.coordinates(rank), 0, 1
    for atom in grid.nesting[dim]:
        if where.on(atom) == Shard(dim):
            size = grid.mesh.atom_size(atom)
            index, count = index * size + at[atom], count * size
    return index, count


def held(grid: Grid, where: Layout, whole: Tensor, draw: torch.Generator) -> Tensor:
    """What the ranks may hold of `whole`: of a pending sum, random terms."""
    mesh = grid.mesh
    pending = [atom.name for atom in mesh.atoms if where.on(atom.name) == Partial()]
    terms: dict[tuple[int, ...], Tensor] = {}
    places = list(itertools.product(*(range(mesh.atom_size(atom)) for atom in pending)))
    for place in places[1:]:
        terms[place] = torch.randint(-9, 9, whole.shape, generator=draw).double()
    terms[places[0]] = whole - sum(terms.values(), torch.zeros_like(whole))
    rows: list[Tensor] = []
    for rank in range(mesh.world):
        at = mesh.coordinates(rank)
        own = terms[tuple(at[atom] for atom in pending)]
        for axis, dim in enumerate(DIMS):
            index, count = parts(grid, where, dim, rank)
            own = own.chunk(count, axis)[index]
        rows.append(own)
    return torch.stack(rows)


def read(grid: Grid, where: Layout, ranks: Tensor) -> Tensor:
    """The whole that the ranks hold together: parts in their place, sums done, copies once."""
    counts = [parts(grid, where, dim, 0)[1] for dim in DIMS]
    blocks = [[torch.zeros_like(ranks[0]) for _ in range(counts[1])] for _ in range(counts[0])]
    for rank in range(grid.mesh.world):
        at = grid.mesh.coordinates(rank)
        if any(at[a.name] and where.on(a.name) in (R, I) for a in grid.mesh.atoms):
            continue  # a copy of what another rank has
        row, column = (parts(grid, where, dim, rank)[0] for dim in DIMS)
        blocks[row][column] = blocks[row][column] + ranks[rank]
    return torch.cat([torch.cat(row, 1) for row in blocks])


def dual(grid: Grid, where: Layout) -> Layout:
    """How the gradient of a value lies."""
    turned: dict[str, Placement] = {
        atom.name: Partial() if where.on(atom.name) == R else where.on(atom.name)
        for atom in grid.mesh.atoms
    }
    turned = {name: R if where.on(name) == Partial() else p for name, p in turned.items()}
    return layout(grid.mesh, turned)


def carried(grid: Grid, have: Layout, want: Layout, x: Tensor) -> Tensor:
    """x after the moves that the lowering writes, by the interpreter's collectives."""
    for move in moves(grid.mesh, grid.nesting, have, want):
        groups = groups_over(grid.mesh, move.atoms)
        for step in redistribution(move.have, move.want):
            named = (1 + DIMS.index(dim) for dim in (step.dim, step.to_dim) if dim)
            (x,) = collective(step.pair, (x,), groups, *named)
        have = moved(grid.mesh, have, move)
    assert have == want
    return x


def is_legal(have: Placement, want: Placement) -> bool:
    return have == want or (kind_of(have), kind_of(want)) in LEGAL


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(grids(), st.data())
def test_moves_keep_the_value_and_carry_its_gradient_back(grid: Grid, data: st.DataObject) -> None:
    """<moved(x), g> = <x, moved back(g)> for any gradient g, both read as their types say."""
    atoms = [atom.name for atom in grid.mesh.atoms]
    have = layout(grid.mesh, {a: data.draw(placements(Partial()), f"have {a}") for a in atoms})
    targets = {
        a: data.draw(placements().filter(lambda p, a=a: is_legal(have.on(a), p)), f"want {a}")
        for a in atoms
    }
    want = layout(grid.mesh, targets)
    draw = torch.Generator().manual_seed(0)
    whole = torch.randint(-9, 9, (grid.mesh.world, 2 * grid.mesh.world), generator=draw).double()
    x = held(grid, have, whole, draw).requires_grad_()
    y = carried(grid, have, want, x)
    assert torch.equal(read(grid, want, y.detach()), whole)
    g_whole = torch.randint(-9, 9, whole.shape, generator=draw).double()
    g = held(grid, dual(grid, want), g_whole, draw)
    (back,) = torch.autograd.grad(y, [x], g)
    # Every whole value is the same linear function of itself, so its gradient is g as it is.
    assert torch.equal(read(grid, dual(grid, have), back), g_whole)
    for rank, other in itertools.product(range(grid.mesh.world), repeat=2):
        at, there = grid.mesh.coordinates(rank), grid.mesh.coordinates(other)
        copies = all(at[a] == there[a] or want.on(a) in (R, I) for a in atoms)
        assert not copies or torch.equal(y[rank], y[other])


@pytest.mark.parametrize("have", [R, I, Shard("rows"), Partial(), Partial("max")], ids=str)
@pytest.mark.parametrize("want", [R, I, Shard("columns"), Partial(), Partial("max")], ids=str)
def test_redistribution_is_total_on_legal_pairs(have: Placement, want: Placement) -> None:
    if is_legal(have, want):
        steps = redistribution(have, want)
        assert (have, *(step.want for step in steps))[-1] == want
    else:
        with pytest.raises(NoCollective) as error:
            redistribution(have, want)
        assert str(have) in str(error.value)
        assert str(want) in str(error.value)


def test_backward_of_each_pair_is_the_row_of_the_gradients() -> None:
    """Communication of the backward = forward of the pair between the gradients' placements."""
    gradient = {"R": "P(sum)", "P(sum)": "R", "S": "S", "I": "I"}
    forward = {(row.have, row.want): row.forward for row in PAIRS.values()}
    forward |= {("I", "S"): None, ("S", "P(sum)"): None, ("I", "I"): None}
    for pair, row in PAIRS.items():
        if pair != "all_reduce_max":  # it has no gradient
            assert row.backward == forward[gradient[row.want], gradient[row.have]], pair


def test_maximum_is_that_of_the_group() -> None:
    mesh = Mesh((Atom("a", 3), Atom("b", 2)), ())
    x = torch.tensor([5.0, 1, 2, 8, 3, 4], dtype=torch.float64).reshape(6, 1).requires_grad_()
    (y,) = collective("all_reduce_max", (x,), groups_over(mesh, ("a",)))
    assert y.flatten().tolist() == [5, 8, 5, 8, 5, 8]
    assert not y.requires_grad
