"""What a run learns: rows that a change of meaning changes, and no other change does."""

from __future__ import annotations

import ast

import pytest

from backends.emit import emit
from compiler.meaning import Value, meaning
from compiler.pipeline import Compiled, programs
from tests.programs.support import TEXT, compiled
from tests.programs.variants import KINDS


def of(*settings: tuple[str, str], text: str = TEXT) -> dict[str, Value]:
    return meaning(compiled(*settings, text=text).plan.spec)


SAME = (
    (("tp", "1"), ("dp", "4")),
    (("fsdp", "1"),),
    (("microbatch", "1 sequences"),),
    (("recompute", "full"),),
    (("train.eval", "none"),),
    (("train.checkpoint", "checkpoint { every = 5, keep = 9 }"),),
    (("train.guard", "guard { skips = 3, patience = 300s }"),),
    (("train.data.train", '"moved"'),),
    (("train.init_from", '"weights"'),),
)


@pytest.mark.parametrize("settings", SAME, ids=str)
def test_mapping_operation_and_places_are_no_meaning(settings: tuple[tuple[str, str], ...]) -> None:
    assert of(*settings) == of()


OTHER = (
    ("train.optimizer.lr", "2e-2", {"train.optimizer.lr"}),
    ("train.global_batch", "16 sequences", {"train.global_batch"}),
    ("train.seed", "1", {"train.seed"}),
    ("train.clip", "none", {"train.clip"}),
    ("train.precision", "bf16", {"train.precision"}),
    ("model.layer.attention.rope.pairs", "interleaved", {"model.layer.attention.rope.pairs"}),
    ("model.layer.attention.mask", "sliding(4)", {
        "model.layer.attention.mask", "model.layer.attention.mask.window",
    }),
    ("model.layer.ffn", "geglu(24)", {"model.layer.ffn"}),
    ("train.lr_schedule", "constant { warmup = 2 }", {
        "train.lr_schedule", "train.lr_schedule.min_lr",
    }),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value", "rows"), OTHER, ids=[row[0] for row in OTHER])
def test_a_change_of_meaning_changes_its_rows(path: str, value: str, rows: set[str]) -> None:
    before, after = of(), of((path, value))
    assert {row for row in before | after if before.get(row) != after.get(row)} == rows


def test_kinds_of_layer_have_rows_of_their_own() -> None:
    rows = of(text=KINDS)
    assert rows["model.layer"] == ((0, 1), (1, 1))
    assert (rows["model.layer[0].ffn.d_ff"], rows["model.layer[1].ffn.d_ff"]) == (24, 40)
    assert rows["model.layer[0].attention.rope"] == "rope"
    assert "model.layer[1].attention.rope" not in rows


def printed(plan: Compiled) -> dict[str, str]:
    """MEANING as config.py says it: path -> expression."""
    (made,) = (
        node.value
        for node in ast.parse(emit(plan).files["config.py"]).body
        if isinstance(node, ast.AnnAssign)
    )
    assert isinstance(made, ast.Dict)
    keys = [ast.literal_eval(key) for key in made.keys if key is not None]
    return dict(zip(keys, map(ast.unparse, made.values), strict=True))


def test_the_program_keeps_the_rows_by_its_constants() -> None:
    """So that an edit of a constant is seen as well."""
    rows = printed(compiled())
    assert rows["train.optimizer.lr"] == "LR"
    assert rows["train.optimizer.betas"] == "(BETA1, BETA2)"
    assert rows["train.steps"] == "STEPS"
    assert rows["model.layer.attention.rope.pairs"] == "'half'"
    assert rows.keys() == {*of(), "train.steps"}
    assert printed(compiled(text=KINDS))["model.layer[1].attention.heads"] == "HEADS_1"


def test_steps_may_be_said_in_tokens() -> None:
    """6 steps of 8 sequences of 16 tokens are 768."""
    tokens = printed(compiled(("train.steps", "none"), ("train.tokens", "768 tokens")))
    assert tokens == printed(compiled())


def test_phases_of_a_run_have_the_rows_of_the_whole_run() -> None:
    text = TEXT.replace(
        "steps = 6, seq_len = 16\n",
        "seq_len = 16\n  phase one { steps = 3 }\n  phase two { steps = 3, seq_len = 32 }\n",
    )
    (ramped,) = programs(compiled(text=text))
    batch = "microbatch = 2 sequences\n"
    apart = text.replace(batch, f"{batch}  phase two {{ cp = 2, dp = 1 }}\n")
    parts = programs(compiled(text=apart))
    assert len(parts) == 2
    for part in (ramped, *parts):  # so each goes on from the checkpoints of the one before
        rows = printed(part)
        assert rows["train.phase.two.seq_len"] == "32"
        assert rows["train.seq_len"] == "16"
        assert rows["train.global_batch"] == "'8 sequences'"
    assert printed(ramped) == printed(parts[0]) == printed(parts[1])
