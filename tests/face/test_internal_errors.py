"""A defect of the compiler is told from an error in a spec, and located."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from compiler import pipeline
from compiler.graph import ModelGraph
from compiler.lower import lower
from compiler.plan import PhasePlan
from compiler.rank_program import RankProgram
from llamac.cli import main
from tests.face.calling import QUICKSTART


def lower_without_q(phase: PhasePlan, graph: ModelGraph, clip: float | None) -> RankProgram:
    """The rank program, but for the line of every layer that makes the queries."""
    program = lower(phase, graph, clip)
    kinds = (
        replace(kind, statements=tuple(s for s in kind.statements if s.outputs[0].name != "q"))
        for kind in program.kinds
    )
    return replace(program, kinds=tuple(kinds))


def test_an_ill_formed_program_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "lower", lower_without_q)
    monkeypatch.setattr(sys, "argv", ["llamac", "plan", str(QUICKSTART)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[:5] == [
        "internal error: a value is read before it is defined",
        "  block      layer",
        "  statement  q_rotated = rope(q, positions)",
        "  value      q",
        "  from       model.layer.attention.rope (rope)",
    ]
    assert "not in your spec; please report it" in told.err
    assert "Traceback" not in told.err
