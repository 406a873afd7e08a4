"""Phases of a run: what each takes over, where it goes on, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from compiler.pipeline import Result, compile_named, compile_plan, programs, read
from compiler.schema import PlanSpec
from compiler.twin.twins import twins_of

TEXT = """
model small {
  vocab = 512, d_model = 64, layers = 2
  layer {
    attention = gqa { heads = 8, kv_heads = 2, rope = rope { theta = 10_000 } }
    ffn       = swiglu(96)
  }
}
cluster two { nodes = 2, node = cpu { devices = 4 } }
train ramp {
  seq_len = 16, global_batch = 8 sequences
  optimizer = adamw { lr = 1e-3 }
  lr_schedule = cosine { warmup = 12 }
  phase start { steps = 10 }
  phase long  { tokens = 1000, seq_len = 64 }
}
plan main {
  model = small, cluster = two, train = ramp
  tp = 2
  phase long { cp = 2 }
}
"""


@dataclass(frozen=True)
class Made:
    text: str
    result: Result


def made(*changes: tuple[str, str]) -> Made:
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    loaded = read("ramp.llama", lambda path: text)
    assert loaded.spec is not None, loaded.diagnostics
    assert loaded.spec.all(PlanSpec)
    return Made(text, compile_named(loaded.spec, "main"))


def test_a_phase_takes_the_rows_that_it_leaves_out() -> None:
    """1,000 tokens at 8 x 64 a step are 1.95 steps; dp is 8 ranks over tp 2 and cp 2."""
    compiled = made().result.compiled
    assert compiled is not None
    start, long = compiled.plan.phases
    assert (start.name, start.steps, start.seq_len, start.global_batch) == ("start", 10, 16, 8)
    assert (long.name, long.steps, long.seq_len, long.global_batch) == ("long", 2, 64, 8)
    sizes = [[phase.mesh.axis_size(axis) for axis in ("dp", "cp", "tp")] for phase in (start, long)]
    assert sizes == [[4, 1, 2], [2, 2, 2]]


def test_a_phase_goes_on_where_the_one_before_stopped() -> None:
    """10 steps of 8 x 16 tokens are 1,280: 20 sequences of 64."""
    compiled = made().result.compiled
    assert compiled is not None
    start, long = compiled.plan.phases
    assert (start.before.steps, start.before.sequences, start.last_step) == (0, 0, 10)
    assert (long.before.steps, long.before.sequences, long.last_step) == (10, 20, 12)
    assert compiled.plan.run_steps == 12
    assert compiled.estimates["tokens"].value == 10 * 8 * 16 + 2 * 8 * 64


MIDDLE = (
    "  phase long  {",
    "  phase middle { steps = 3, seq_len = 48, global_batch = 16 sequences }\n  phase long  {",
)


def test_phases_in_a_row_that_are_spread_alike_are_one_program() -> None:
    compiled = made(MIDDLE).result.compiled
    assert compiled is not None
    parts = programs(compiled)
    names = [[phase.name for phase in part.plan.phases] for part in parts]
    assert names == [["start", "middle"], ["long"]]
    assert [part.plan.part_name for part in parts] == ["start-middle", "long"]
    assert [part.plan.run_steps for part in parts] == [15, 15]
    assert [len(part.programs) for part in parts] == [2, 1]
    assert (*parts[0].programs, *parts[1].programs) == compiled.programs


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ("microbatch = 2 sequences", 1),
        ("cp = 2", 2),
        ("fsdp = 2", 2),
        ("recompute = full", 2),
    ],
)
def test_what_a_plan_may_change_of_a_phase(change: str, count: int) -> None:
    """Sizes of batches are numbers of a program; how it is spread is its text."""
    compiled = made(("phase long { cp = 2 }", f"phase long {{ {change} }}")).result.compiled
    assert compiled is not None
    assert len(programs(compiled)) == count


def test_the_order_of_the_data_is_one_over_all_programs() -> None:
    """Blocks of 192 tokens are whole sequences of 16, 48 and 64."""
    compiled = made(MIDDLE).result.compiled
    assert compiled is not None
    assert [part.plan.data_block for part in programs(compiled)] == [192, 192]


def test_a_phase_begins_with_a_whole_sequence() -> None:
    """10 steps of 8 x 16 tokens are 1,280: 26.7 sequences of 48, so it begins at 27 x 48 = 1,296;
    with 3 x 16 x 48 more the next begins at 3,600 / 64 = 56.25 sequences of 64, so at 57."""
    compiled = made(MIDDLE).result.compiled
    assert compiled is not None
    assert [phase.before.sequences for phase in compiled.plan.phases] == [0, 27, 57]
    assert [phase.first_token for phase in compiled.plan.phases] == [0, 1296, 3648]


def test_one_size_of_chunks_in_a_program() -> None:
    """fp32 logits of 64 MiB are 2^15 positions of a vocabulary of 512: of 2^16 positions half, and
    with two sequences per forward a quarter. In one program all take the smaller."""
    long = ("seq_len = 64 }", "seq_len = 64Ki, global_batch = 8 sequences }")
    both = made(
        (MIDDLE[0], MIDDLE[1].replace("seq_len = 48", "seq_len = 64Ki")),
        long,
        ("  tp = 2\n", "  tp = 1\n"),
        (
            "phase long { cp = 2 }",
            "phase long { microbatch = 1 }\n  phase middle { microbatch = 2 }",
        ),
    ).result.compiled
    assert both is not None
    assert len(programs(both)) == 1
    assert [phase.loss_chunks for phase in both.plan.phases] == [1, 4, 4]
    decisions = [phase.decision("loss_chunks") for phase in both.plan.phases]
    assert [decision.value for decision in decisions] == [1, 4, 4]
    assert "all phases of the program" in decisions[2].reason


def test_the_twin_of_a_program_has_its_phases() -> None:
    compiled = made(MIDDLE).result.compiled
    assert compiled is not None
    for part in programs(compiled):
        phases = part.plan.phases
        for twin in twins_of(part.plan.spec, *phases):
            small = compile_plan("twin", twin).compiled
            assert small is not None
            assert len(twin.train.phase.items) == len(phases)
            assert len(programs(small)) == 1
            assert (twin.cp > 1) == (phases[0].name == "long")
            lengths = [phase.seq_len for phase in small.plan.phases]
            assert lengths == sorted(set(lengths))


def test_an_assert_is_held_against_every_phase() -> None:
    broken = made(("  tp = 2\n", "  tp = 2\n  assert dp == 4\n")).result
    (diagnostic,) = broken.diagnostics
    assert diagnostic.slug == "assert-failed"
    assert diagnostic.primary is not None
    assert diagnostic.primary.text == "in phase long: dp = 2"


@pytest.mark.parametrize(
    ("change", "slug", "points_at"),
    [
        (("phase long { cp = 2 }", "phase lang { cp = 2 }"), "unknown-phase", "phase"),
        (("phase long { cp = 2 }", "phase long { cp = 3 }"), "mesh-mismatch", "3"),
        (("  tp = 2\n", "  tp = 2, dp = 4\n"), "mesh-mismatch", "4"),
        (("steps = 10", "steps = 10, tokens = 9"), "length-given-twice", "9"),
        (("seq_len = 64 }", "seq_len = 66 }"), "does-not-divide", "2"),
        (
            ("seq_len = 64 }", "seq_len = 64, global_batch = 9 sequences }"),
            "does-not-divide",
            "9 sequences",
        ),
        (("warmup = 12", "warmup = 13"), "schedule-too-long", "13"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_where_the_phase_says_it(
    change: tuple[str, str], slug: str, points_at: str
) -> None:
    """And once, though the plan has two phases."""
    found = made(change)
    assert found.result.compiled is None
    (diagnostic,) = found.result.diagnostics
    assert diagnostic.slug == slug
    assert diagnostic.primary is not None
    span = diagnostic.primary.span
    assert found.text[span.start : span.end] == points_at
