"""Moves between layouts end: at the layout asked for, or in a located internal error."""

from __future__ import annotations

import pytest

from compiler.internal_error import InternalError
from compiler.lower import moves as module
from compiler.lower.moves import NoMoves, moves
from compiler.mesh import Atom, Mesh
from compiler.pipeline import compile_plan
from compiler.placement import Placement, R, Shard, layout
from tests.twin.layouts import LAYOUTS

MESH = Mesh((Atom("a", 2), Atom("b", 3)), ())


def never(*_: object) -> bool:
    return False


def test_an_atom_in_the_way_is_gathered_and_cut_again() -> None:
    """`a` is outside of `b`, which must be gathered before `a` may stop to cut."""
    have = layout(MESH, {"a": Shard("x"), "b": Shard("x")})
    want = layout(MESH, {"a": R, "b": Shard("x")})
    placements: list[tuple[str, Placement]] = [
        (move.axis, move.want) for move in moves(MESH, {"x": ("a", "b")}, have, want)
    ]
    assert placements == [("b", R), ("a", R), ("b", Shard("x"))]


def test_two_atoms_that_change_places_do_not_wait_for_each_other() -> None:
    have = layout(MESH, {"a": Shard("x"), "b": Shard("y")})
    want = layout(MESH, {"a": Shard("y"), "b": Shard("x")})
    nesting = {"x": ("a", "b"), "y": ("b", "a")}
    placements: list[tuple[str, Placement]] = [
        (move.axis, move.want) for move in moves(MESH, nesting, have, want)
    ]
    assert placements == [("b", R), ("a", Shard("y")), ("b", Shard("x"))]


def test_an_axis_that_nests_the_other_way_round_moves_atom_by_atom() -> None:
    """One collective would join the pieces in mesh order, `a` outside; here `b` is outside."""
    mesh = Mesh(MESH.atoms, (("ab", ("a", "b")),))
    cut = layout(mesh, {"a": Shard("x"), "b": Shard("x")})
    whole = layout(mesh, {})
    assert [move.axis for move in moves(mesh, {"x": ("a", "b")}, cut, whole)] == ["ab"]
    assert [move.axis for move in moves(mesh, {"x": ("b", "a")}, cut, whole)] == ["a", "b"]


def test_moves_that_lead_nowhere_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_legal", never)
    have, want = layout(MESH, {}), layout(MESH, {"a": Shard("x")})
    with pytest.raises(NoMoves, match="no order of moves leads from"):
        list(moves(MESH, {}, have, want))


def test_the_lowering_says_where_it_found_no_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_legal", never)
    with pytest.raises(InternalError) as caught:
        compile_plan("plan", LAYOUTS["tp2"])
    defect = caught.value.defect
    assert defect.what.startswith("no order of moves leads from")
    assert defect.block
    assert defect.value
    assert defect.origin is not None
