"""Programs of several phases: what is read across their borders, and going on after a stop."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load
from torch import Tensor

from backends.emit import emit
from backends.pytorch.config import literal
from tests.programs.support import (
    SAMPLE_TOKENS,
    compiled,
    launch,
    metrics,
    replaced,
    write,
    write_text,
)
from tests.programs.support import TEXT as ONE_PHASE
from tests.programs.variants import modules

RAMP = """
  phase short  { steps = 3, seq_len = 8 }
  phase middle { steps = 2, seq_len = 24, global_batch = 16 sequences }
  phase large  { steps = 3, seq_len = 48 }
"""
TEXT = ONE_PHASE.replace("every = 2 steps }\n}", f"every = 1, keep = 9 }}\n{RAMP}}}").replace(
    "  dp = 2, tp = 2, microbatch = 2 sequences\n",
    "  dp = 2, tp = 2, microbatch = 2 sequences\n  phase large { microbatch = 1 sequences }\n",
)
COMPARED = ("step", "loss", "grad_norm", "lr", "tokens")
LAYOUTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "dp2": (("cluster.node.devices", "2"), ("tp", "1")),
    "dp2 x tp2": (),
    "dp2 x pp2, 1f1b": (("tp", "1"), ("pp", "2"), ("schedule", "one_f_one_b")),
}


@pytest.mark.parametrize(
    "layout",
    ["dp2", *(pytest.param(name, marks=pytest.mark.long) for name in [*LAYOUTS][1:])],
)
def test_a_run_goes_on_bit_by_bit(tmp_path: Path, layout: str) -> None:
    """From a checkpoint at a border, from one inside a phase, and without a stop: the same numbers
    to the last bit."""
    write_text(tmp_path)
    made = emit(compiled(*LAYOUTS[layout], text=TEXT))
    here = write(replaced(made, SAMPLE_TOKENS=SAMPLE_TOKENS), tmp_path / "out")
    for run, resume in (("whole", 0), ("border", 3), ("inside", 4)):
        source = ["--resume", f"whole/checkpoints/step-{resume}"] if resume else []
        done = launch(here, "--run", run, *source, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    whole = [[r[key] for key in COMPARED] for r in metrics(tmp_path / "whole")]
    # 3 x 8 x 8 = 192 tokens, 2 x 16 x 24 = 768 more, and 8 x 48 a step
    assert [r[-1] for r in whole] == [64, 128, 192, 576, 960, 1344, 1728, 2112]
    expected = weights(tmp_path / "whole")
    for run, first in (("border", 3), ("inside", 4)):
        found = [[r[key] for key in COMPARED] for r in metrics(tmp_path / run)]
        assert found == whole[first:]
        left = weights(tmp_path / run)
        assert left.keys() == expected.keys()
        assert all(torch.equal(left[name], expected[name]) for name in left)


def weights(run: Path) -> dict[str, Tensor]:
    """Every tensor of the last checkpoint, by shard and name."""
    files = sorted((run / "checkpoints" / "step-8").glob("*.safetensors"))
    assert files
    return {f"{f.name}/{name}": part for f in files for name, part in load(f.read_bytes()).items()}


# The ledger: data.py as it is printed, on a corpus that notes what is read of it.


class Corpus:
    """As many blocks as are said; a token is its own place."""

    def __init__(self, tokens: int, block: int) -> None:
        self.blocks = (tokens - 1) // block
        self.length = tokens
        self.read_at: Counter[int] = Counter()

    def read(self, first: int, last: int) -> Tensor:
        assert 0 <= first < last <= self.length
        self.read_at.update(range(first, last - 1))  # the last is a target only
        return torch.arange(first, last)


Row = tuple[str, int, int, int, int, int, float]


@contextmanager
def data_module(rows: Sequence[Row], block: int, rank: int) -> Generator[Any, None, None]:
    """data.py of a program with these PHASES, as one data rank imports it."""
    text = emit(compiled(text=TEXT)).files["data.py"]
    config = ModuleType("config")
    vars(config).update(BLOCK=block, PHASES=tuple(rows), SEED=3, SEPARATOR=-1, EVAL_SEQUENCES=1)
    parallel = ModuleType("parallel")

    def coordinate(axis: str) -> int:
        assert axis == "fsdp"
        return rank

    vars(parallel)["coordinate"] = coordinate
    fake = {"config": config, "parallel": parallel}
    before = {name: sys.modules.get(name) for name in fake}
    sys.modules.update(fake)
    try:
        spec = importlib.util.spec_from_loader("data", loader=None)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        exec(compile(text, "data.py", "exec"), vars(module))
        yield module
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old


@st.composite
def ramps(draw: st.DrawFn) -> tuple[list[Row], list[int], int]:
    """Rows of PHASES, steps of each, and data ranks."""
    dp = draw(st.integers(1, 3))
    rows: list[Row] = []
    steps: list[int] = []
    position = 0
    for i in range(draw(st.integers(2, 4))):
        seq_len = draw(st.sampled_from((2, 4, 6, 12)))
        microbatch, count = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        steps.append(draw(st.integers(1, 4)))
        batch = dp * microbatch * count
        position = math.ceil(position / seq_len) * seq_len + steps[-1] * batch * seq_len
        rows.append((f"p{i}", position, seq_len, batch, microbatch, count, 0.0))
    return rows, steps, dp


@settings(max_examples=40, deadline=None)
@given(ramp=ramps(), epochs=st.integers(1, 2), extra=st.integers(0, 11))
def test_nothing_is_read_twice_before_all_is_read(
    ramp: tuple[list[Row], list[int], int], epochs: int, extra: int
) -> None:
    """Counted over all ranks. Left out are, at a border, tokens that make no whole sequence of the
    next phase: fewer than one has."""
    rows, steps, dp = ramp
    block = math.lcm(*(row[2] for row in rows))
    end = rows[-1][1]
    # two epochs begin a second one midway
    corpus = Corpus(max(block, end // epochs) + extra + 1, block)
    used = corpus.blocks * block
    for rank in range(dp):
        with data_module(rows, block, rank) as data:
            position = 0
            for row, count in zip(rows, steps, strict=True):
                for _ in range(count):
                    batches = data.step_batches(corpus, position, torch.device("cpu"))
                    assert len(batches) == row[5]
                    assert {tuple(b.tokens.shape) for b in batches} == {(row[4], row[2])}
                    position = data.next_position(position)
            assert position == end
    gaps = sum(
        math.ceil(before[1] / after[2]) * after[2] - before[1] for before, after in pairwise(rows)
    )
    assert corpus.read_at.total() == end - gaps
    whole, rest = divmod(end, used)
    most, least = whole + (rest > 0), whole
    counts = [corpus.read_at[token] for token in range(used)]
    assert max(counts) <= most
    assert sum(max(0, least - count) for count in counts) <= gaps
    assert all(token < used for token in corpus.read_at)


def test_phases_stand_in_config_as_literals() -> None:
    text = emit(compiled(text=TEXT)).files["config.py"]
    rows = (
        ("short", 3 * 8 * 8, 8, 8, 2, 2),
        ("middle", 192 + 2 * 16 * 24, 24, 16, 2, 4),
        ("large", 960 + 3 * 8 * 48, 48, 8, 1, 4),
    )
    for row in rows:
        assert f"    {literal(row)[:-1]}, " in text
    assert "\nBLOCK = 48  # " in text
    assert "\nSTEPS = 8  # " in text


def test_every_phase_alone_has_the_same_text() -> None:
    """What one program goes through differs in numbers only: so each phase's own text says."""
    made = compiled(text=TEXT)
    texts: list[dict[str, str]] = []
    for phase, program in zip(made.plan.phases, made.programs, strict=True):
        alone = replace(made, plan=replace(made.plan, phases=(phase,)), programs=(program,))
        texts.append(modules(alone))
        assert texts[-1].pop("config.py")
    assert texts[0] == texts[1] == texts[2]
