"""What people of other frameworks write: what is said is meant, and what cannot fit is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.pipeline import Compiled, compile_named, read
from compiler.planner.stages import balanced
from dsl.diagnostics import Diagnostic
from dsl.fixes import apply_edits
from dsl.source import Source

STANDARD = Path(__file__).parents[2] / "compiler"
STANDARD_FILES = {f"std/{file.name}": file.read_text() for file in STANDARD.glob("std/*.llama")}
RUN = """
import "std/llama3"   as llama3
import "std/hardware" as hw
model m extends llama3.llama3_1_70b { layer { attention { rope { scaling = none } } } }
cluster c { nodes = 4, node = hw.dgx_h100 }
train t {
  seq_len = 8192, global_batch = 512 sequences, steps = 1000
  optimizer   = adamw { lr = 3e-4 }
  lr_schedule = cosine { warmup = 200 steps }
}
plan main {
  model = m, cluster = c, train = t
  tp = 4, pp = 4, cp = 2, schedule = interleaved(chunks = 5)
  # more
}
"""


def checked(text: str) -> tuple[Compiled | None, tuple[Diagnostic, ...], Source]:
    files = {**STANDARD_FILES, "r.llama": text}
    loaded = read("r.llama", lambda path: files[path])
    if loaded.spec is None:
        return None, loaded.diagnostics, loaded.sources["r.llama"]
    result = compile_named(loaded.spec, "main")
    return result.compiled, (*loaded.diagnostics, *result.diagnostics), loaded.sources["r.llama"]


def with_more(lines: str, run: str = RUN) -> str:
    return run.replace("# more", lines)


def test_a_plan_that_cannot_fit_is_told_with_its_sum_and_what_fits() -> None:
    """147 GiB on cards of 80 GB, most of it receive buffers of the pipeline."""
    compiled, (warning,), source = checked(RUN)
    assert compiled is not None
    assert (warning.slug, warning.is_error) == ("does-not-fit", False)
    assert warning.title == "a rank needs 146.6 GiB, and NVIDIA H100 SXM5 80GB has 80.0 GiB"
    assert warning.primary is not None
    assert warning.primary.text.startswith("stage 1: pipeline 80.3 + activations 21.7")
    assert warning.suggestions
    for suggestion in warning.suggestions:
        texts = apply_edits(suggestion.edits, {"r.llama": source})
        again, left, _ = checked(texts["r.llama"])
        assert again is not None
        assert left == (), suggestion.text


@pytest.mark.parametrize(("limit", "holds"), [("80GB", False), ("160GB", True), ("146GiB", False)])
@pytest.mark.parametrize("path", ["memory", "memory.peak"])
def test_an_assert_may_bound_memory(path: str, limit: str, holds: bool) -> None:
    _, found, _ = checked(with_more(f"assert {path} < {limit}"))
    assert [one.slug for one in found if one.is_error] == ([] if holds else ["assert-failed"])


def test_memory_is_compared_with_the_device() -> None:
    _, found, _ = checked(with_more("assert memory <= cluster.node.accelerator.memory"))
    assert "assert-failed" in [one.slug for one in found]


SMALLER = RUN.replace("512 seq", "64 seq").replace("llama3_1_70b", "llama3_1_8b")
SAID = {
    "dp = -1": "dp = auto",
    "train { clip = 0 }": "clip = none",
    "recompute = selective": "replace by `[swiglu, rms_norm]`",
    "recompute = op": "replace by `[swiglu, rms_norm]`",
    "train { lr_schedule { warmup = 1% } }": "warmup = 10",
    "train { lr_schedule { warmup = 0.05 } }": "warmup = 50",
    "train { global_batch = 4M tokens }": "global_batch = 3_997_696 tokens",
}
"""What others write -> the first thing to type instead."""


@pytest.mark.parametrize("lines", SAID)
def test_what_is_meant_is_offered_and_works(lines: str) -> None:
    text = with_more(lines, SMALLER.replace("chunks = 5", "chunks = 4"))
    _, (problem, *_), source = checked(text)
    offered = [(one.text, one.edits) for one in problem.suggestions]
    offered += [(fix.title, fix.edits) for fix in problem.fixes]
    assert offered[0][0] == SAID[lines]
    for title, edits in offered:
        compiled, left, _ = checked(apply_edits(edits, {"r.llama": source})["r.llama"])
        assert compiled is not None, (title, left)


def test_a_list_may_repeat_another() -> None:
    compiled, _, _ = checked(with_more("stages = [4] * 20"))
    assert compiled is not None
    assert compiled.plan.main.stages == (4,) * 20


def test_stages_are_alike_where_the_layers_divide() -> None:
    assert balanced(80, 20) == (4,) * 20
    assert balanced(32, 4) == (8,) * 4
    assert balanced(126, 128) == (0, *(1,) * 126, 0)
    assert balanced(10, 4) == (2, 3, 3, 2)
