"""What is said of a program that stops, of an edited config.py, and of what cannot be run."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import pytest

from llamac.verify.directory import read_plan, read_program, write_evidence
from llamac.verify.entry import program_of, verify_directory, verify_plan
from llamac.verify.errors import CannotVerify
from llamac.verify.execute import ANSWER
from llamac.verify.faults import by_name, seeded
from llamac.verify.result import as_json, as_text
from llamac.verify.settings import edits, settings, with_settings
from llamac.verify.twin import PATIENCE
from llamac.verify.verify import Asked, verify
from tests.twin.layouts import Spread, llama, plan
from tests.twin.programs import compiled, emitted

PLAN = plan(llama(12), Spread(dp=2, fsdp=2))
TENSOR_PLAN = plan(llama(12), Spread(tp=2))
MESH_PLAN = plan(llama(12), Spread(dp=2, fsdp=2, tp=2))
STEP = "    lr = learning_rate(step)\n"


def with_line(line: str) -> Asked:
    files = dict(emitted(compiled(PLAN)))
    assert STEP in files["train.py"]
    files["train.py"] = files["train.py"].replace(STEP, STEP + line)
    return Asked(program=files, patience=5.0)


def test_a_suspended_machine_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock leaps by an hour whenever it is looked at, and nobody waits for half of one."""
    looks = count()
    monkeypatch.setattr(time, "monotonic", lambda: 3600.0 * next(looks))
    result = verify(compiled(PLAN), emitted, Asked(patience=1800.0))
    assert result.ok, as_text(result)


def test_a_crash_names_rank_and_line() -> None:
    asked = with_line(
        '    if dist.get_rank() == 1 and step == 1:\n        raise OSError("planted")\n'
    )
    (twin,) = verify(compiled(PLAN), emitted, asked).twins
    first = twin.stopped[0]
    assert first.rank == 1
    assert "OSError: planted" in first.message
    assert 'File "train.py"' in first.message
    assert not twin.ok


def test_broken_text_is_a_difference() -> None:
    (twin,) = verify(compiled(PLAN), emitted, with_line("    lr = = 3\n")).twins
    assert "SyntaxError" in twin.stopped[0].message


def test_a_hang_is_a_difference() -> None:
    asked = with_line("    while dist.get_rank() == 1:\n        signal.pause()\n")
    result = verify(compiled(PLAN), emitted, asked)
    assert not result.ok
    assert {stop.rank for stop in result.twins[0].stopped} == {0, 1}
    assert "no progress" in result.twins[0].stopped[0].message


def test_a_deadlock_names_what_each_rank_waits_in() -> None:
    """Neighbours that reduce over two axes in opposite orders: a ring in which all wait."""
    files = dict(emitted(compiled(MESH_PLAN)))
    planted = (
        '    axes = ["tp", "fsdp"]\n'
        '    if parallel.coordinate("tp") == parallel.coordinate("fsdp"):\n'
        "        axes.reverse()\n"
        "    for axis in axes:\n"
        "        parallel.all_reduce(valid, axis)\n"
    )
    assert STEP in files["train.py"]
    files["train.py"] = files["train.py"].replace(STEP, STEP + planted)
    asked = Asked(program=files, patience=5.0)
    (twin,) = verify(compiled(MESH_PLAN), emitted, asked).twins
    line = files["train.py"].splitlines().index("        parallel.all_reduce(valid, axis)") + 1
    waits = {
        axis: f"waits in all_reduce over {axis}, at train.py:{line}: "
        "parallel.all_reduce(valid, axis), in parallel.py:"
        for axis in ("tp", "fsdp")
    }
    assert PATIENCE + ANSWER < 60, "a deadlock is told within a minute"
    # of fsdp 2 x tp 3, rank 2 f + t: those with t == f wait over fsdp, the others over tp
    for stop in twin.stopped:
        assert any(said in stop.message for said in waits.values()), stop
    assert {stop.rank for stop in twin.stopped} == set(range(6))
    over_fsdp = {stop.rank for stop in twin.stopped if waits["fsdp"] in stop.message}
    assert over_fsdp == {0, 4}


def test_an_exit_without_a_traceback_is_a_difference() -> None:
    asked = with_line("    sys.exit(3)\n")
    assert not verify(compiled(PLAN), emitted, asked).ok


def test_a_directory_is_verified_as_it_stands(tmp_path: Path) -> None:
    for name, text in emitted(compiled(PLAN)).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    config = tmp_path / "config.py"
    config.write_text(with_settings(config.read_text(encoding="utf-8"), {"LR": 0.5}))
    result = verify(read_plan(tmp_path), emitted, Asked(program=read_program(tmp_path)))
    assert result.ok
    assert result.edited == ("config.py: LR is 0.5, the spec gives 0.0003",)
    assert "config.py: LR is 0.5" in as_text(result)

    evidence = json.loads(write_evidence(tmp_path, result).read_text(encoding="utf-8"))
    assert evidence["result"] == json.loads(json.dumps(as_json(result)))
    assert evidence["where"]["devices"] == ["cpu"]
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["verify.json"]


def test_a_program_for_another_torch_is_not_an_edit(tmp_path: Path) -> None:
    for name, text in program_of(compiled(TENSOR_PLAN), "2.11").items():
        if "/" not in name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    result = verify_directory(tmp_path)
    assert result.ok
    assert result.edited == ()


def test_a_difference_says_where_to_read() -> None:
    asked = with_line("    lr = lr * 2\n")
    (twin,) = verify(compiled(PLAN), emitted, asked).twins
    first = twin.differences[0]
    assert (first.observable, first.axis) == ("lr", "fsdp")  # twice, and fsdp has two ranks
    assert first.line.startswith("train.py:")
    assert first.line.endswith("def learning_rate(step: int) -> float:")
    assert "lr, step 1, rank 0: error 1.0e+00" in first.text()


def test_a_fault_that_is_not_known() -> None:
    with pytest.raises(CannotVerify, match="no fault `nonsense`; there are: norm-gradients"):
        verify_plan(compiled(PLAN), "nonsense")


def test_what_is_no_output_directory(tmp_path: Path) -> None:
    with pytest.raises(CannotVerify, match="is this an output directory"):
        read_plan(tmp_path)
    with pytest.raises(CannotVerify, match=r"holds no config\.py"):
        read_program(tmp_path)
    (tmp_path / "plan.json").write_text('{"plan": "x", "spec": {"is": "plan"}}')
    with pytest.raises(CannotVerify, match="not a spec of this version"):
        read_plan(tmp_path)


def test_a_fault_that_a_plan_cannot_have() -> None:
    fault = by_name("kv-copies-unsummed")
    assert fault is not None
    with pytest.raises(CannotVerify, match="kv_copy"):
        seeded(emitted(compiled(PLAN)), fault)


def test_settings_are_read_replaced_and_compared() -> None:
    text = 'A = 1  # why\nB = (\n    1,\n    2,\n)\nC = "x"\n'
    assert settings(text) == {"A": 1, "B": (1, 2), "C": "x"}
    changed = with_settings(text, {"B": (3,), "C": "y"})
    assert changed == "A = 1  # why\nB = (3,)\nC = 'y'\n"
    assert edits(text, changed) == (
        "config.py: B is (3,), the spec gives (1, 2)",
        "config.py: C is 'y', the spec gives 'x'",
    )
    with pytest.raises(ValueError, match="assigns no D"):
        with_settings(text, {"D": 1})
