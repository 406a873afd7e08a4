"""Phases of a run: what each takes over, where it goes on, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from compiler.pipeline import Result, compile_named, programs, read
from compiler.schema import PlanSpec
from compiler.twin import twins_of

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


def test_a_program_a_phase() -> None:
    compiled = made().result.compiled
    assert compiled is not None
    parts = programs(compiled)
    assert [[phase.name for phase in part.plan.phases] for part in parts] == [["start"], ["long"]]
    assert [part.plan.run_steps for part in parts] == [12, 12]
    assert [part.programs for part in parts] == [(program,) for program in compiled.programs]


def test_the_twin_of_a_phase_is_a_phase() -> None:
    compiled = made().result.compiled
    assert compiled is not None
    for phase in compiled.plan.phases:
        for twin in twins_of(compiled.plan.spec, phase):
            assert len(twin.train.phase.items) == 1
            assert (twin.cp > 1) == (phase.name == "long")


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
        (("steps = 10", "steps = 10, tokens = 9"), "contradiction", "9"),
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
