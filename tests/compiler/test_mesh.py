"""The mesh: ranks and coordinates, groups, the order of layouts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.mesh import Atom, Mesh
from compiler.placement import R, Shard, layout

NAMES = ("a", "b", "c", "d")


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    sizes = draw(st.lists(st.integers(2, 4), max_size=4))
    atoms = tuple(Atom(name, size) for name, size in zip(NAMES, sizes, strict=False))
    return Mesh(atoms, (("all", tuple(atom.name for atom in atoms)),))


@st.composite
def meshes_with_atoms(draw: st.DrawFn) -> tuple[Mesh, tuple[str, ...]]:
    mesh = draw(meshes())
    chosen = [atom.name for atom in mesh.atoms if draw(st.booleans())]
    return mesh, tuple(chosen)


def test_ranks_are_row_major() -> None:
    mesh = Mesh((Atom("dp", 2), Atom("tp", 3)), ())
    assert mesh.coordinates(4) == {"dp": 1, "tp": 1}
    assert mesh.groups(("tp",)) == [[0, 1, 2], [3, 4, 5]]
    assert mesh.groups(("dp",)) == [[0, 3], [1, 4], [2, 5]]
    assert mesh.groups(()) == [[0], [1], [2], [3], [4], [5]]


@given(meshes())
def test_rank_and_coordinates_are_inverse(mesh: Mesh) -> None:
    for rank in range(mesh.world):
        at = mesh.coordinates(rank)
        assert mesh.rank(at) == rank
        assert all(0 <= at[atom.name] < atom.size for atom in mesh.atoms)


@given(meshes_with_atoms())
def test_groups_are_ascending_and_partition_the_ranks(drawn: tuple[Mesh, tuple[str, ...]]) -> None:
    mesh, atoms = drawn
    groups = mesh.groups(atoms)
    assert sorted(rank for group in groups for rank in group) == list(range(mesh.world))
    for group in groups:
        assert group == sorted(group)
        assert len(group) == mesh.size(atoms)


@given(meshes_with_atoms())
def test_members_of_a_group_differ_in_its_atoms_only(drawn: tuple[Mesh, tuple[str, ...]]) -> None:
    mesh, atoms = drawn
    for group in mesh.groups(atoms):
        fixed = [
            {name: i for name, i in mesh.coordinates(r).items() if name not in atoms} for r in group
        ]
        assert all(at == fixed[0] for at in fixed)
        assert [mesh.index(rank, atoms) for rank in group] == list(range(len(group)))


def test_layout_is_in_mesh_order_and_leaves_out_replicated_atoms() -> None:
    mesh = Mesh((Atom("kv", 2), Atom("kv_copy", 2), Atom("c", 2)), ())
    one = layout(mesh, {"kv_copy": Shard("heads"), "c": R, "kv": Shard("heads")})
    assert one == layout(mesh, {"kv": Shard("heads"), "kv_copy": Shard("heads")})
    assert one.cuts("heads") == ("kv", "kv_copy")
    assert one.on("c") == R
    assert one.sharding_atoms() == ("kv", "kv_copy")
    assert str(one) == "kv S(heads) kv_copy S(heads)"
