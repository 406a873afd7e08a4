"""The dry run: what programs call is what their rank programs say; a program that differs fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backends.emit import emit
from llamac.cli.commands import cli
from llamac.dryrun.result import Crashed, as_text
from tests.dryrun.specs import TEXT, compiled, dry, stepped

LAYOUTS = {
    "hybrid, uneven shards, tensor parallel": {"tp": "2", "fsdp": "2"},
    "copies of key/value heads, gathered once a step": {"tp": "4", "sharding": "zero2"},
    "the optimizer cut, hybrid": {"tp": "2", "fsdp": "2", "sharding": "zero1"},
    "one key/value head, its keys gathered": {
        "tp": "2",
        "model.layer.attention": "mqa { heads = 8, rope = rope { theta = 10_000 } }",
    },
    "context, everything recomputed": {"cp": "2", "fsdp": "4", "recompute": "full"},
    "interleaved, an empty first stage": {
        "pp": "2",
        "tp": "2",
        "model.layers": "6",
        "schedule": "interleaved(chunks = 4)",
    },
    "recomputed by stage": {
        "pp": "2",
        "tp": "2",
        "recompute": "by_stage([full, [linear]])",
    },
    "tied across stages, context": {
        "pp": "2",
        "cp": "2",
        "fsdp": "2",
        "model.head.tied": "true",
    },
    "a mixture, tensor parallel": {
        "tp": "2",
        "train.data": (
            'mixture { source a { data = shards { train = "a" }, weight = 2 },'
            ' source b { data = jsonl { train = "b" }, weight = 1 } }'
        ),
    },
}


@pytest.mark.parametrize("fields", LAYOUTS.values(), ids=LAYOUTS)
def test_a_program_calls_what_its_rank_program_says(fields: dict[str, str]) -> None:
    result = dry(fields)
    for rank in stepped(result):
        assert [line for line in rank.lines if not line.ok] == []
        assert len(rank.lines) >= 4
        assert rank.saved["parameters"] == 4 * rank.parameters
        # Two moments of each parameter that a rank updates, and AdamW's step count.
        updated = rank.parameters / (2 if fields.get("sharding") == "zero1" else 1)
        assert rank.saved["optimizer"] >= 8 * updated
        assert rank.saved["optimizer"] <= 8.1 * updated
    assert result.ok


RAMP = TEXT.replace(
    "  optimizer",
    """  phase short  { steps = 3, seq_len = 32 }
  phase wide   { steps = 3, global_batch = 32 sequences }
  phase long   { steps = 3, seq_len = 128 }
  optimizer""",
)


@pytest.mark.parametrize(
    "fields",
    [{"tp": "2", "compile": "true"}, {"pp": "2", "tp": "2", "schedule": "interleaved(chunks = 2)"}],
    ids=["compiled", "pipeline"],
)
def test_each_phase_of_a_program_calls_what_its_rank_program_says(fields: dict[str, str]) -> None:
    """One process steps all three, as the program does; what is kept grows with the sequence."""
    result = dry(fields, text=RAMP)
    ranks = stepped(result)
    each = len(ranks) // 3
    names = ["short", "wide", "long"]
    assert [rank.phase for rank in ranks] == [name for name in names for _ in range(each)]
    assert [line for rank in ranks for line in rank.lines if not line.ok] == []
    for name in ("all_gather", "reduce_scatter"):
        short, wide, long = (
            sum(line.bytes for line in rank.lines if (line.over, line.kind) == (("tp",), name))
            for rank in ranks[::each]
        )
        assert (wide, long) == (4 * short, 4 * short)
    kept = [rank.saved["activations"] for rank in ranks[::each]]
    assert kept[0] < kept[1] < kept[2]


def test_a_collective_too_many_is_a_difference_on_its_axis() -> None:
    """Gradients of norms summed over tp twice: the dry run counts, whatever the numbers are."""
    fields = {"tp": "2", "fsdp": "2"}
    files = dict(emit(compiled(fields)).files)
    line = "    parallel.reduce_gradients(model, model.layout)\n"
    assert files["train.py"].count(line) == 1
    files["train.py"] = files["train.py"].replace(line, line * 2)
    result = dry(fields, files)
    (rank,) = stepped(result)
    (wrong,) = [line for line in rank.lines if not line.ok]
    assert (wrong.kind, wrong.over) == ("all_reduce", ("tp",))
    assert wrong.count == wrong.expected_count + 1
    assert not result.ok
    assert "FAILED: 1 differ" in as_text(result)


def test_a_program_that_does_not_step_says_where() -> None:
    fields = {"fsdp": "8"}
    files = dict(emit(compiled(fields)).files)
    files["model.py"] = files["model.py"].replace("F.linear(inner, ", "F.linear(x, ")
    (rank,) = dry(fields, files).ranks
    assert isinstance(rank, Crashed)
    assert "model.py" in rank.words


def test_command_line(tmp_path: Path) -> None:
    spec = tmp_path / "small.llama"
    spec.write_text(TEXT, encoding="utf-8")
    done = CliRunner().invoke(cli, ["dryrun", str(spec), "--set", "fsdp=2", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ok"]
    assert found["world"] == 8
    (rank,) = found["ranks"]
    kinds = {(line["kind"], tuple(line["over"])) for line in rank["lines"]}
    assert kinds == {
        ("all_gather", ("shard",)),
        ("reduce_scatter", ("shard",)),
        ("all_reduce", ("shard",)),
        ("all_reduce", ("replicate",)),
    }
