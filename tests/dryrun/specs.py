"""A small spec for eight ranks, and what the dry run says of a plan of it."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.pipeline import Compiled, compile_named, read
from llamac.dryrun.dryrun import dryrun
from llamac.dryrun.result import DryRun, RankClass

TEXT = """
model small {
  vocab = 500, d_model = 64, layers = 3
  layer {
    attention = gqa { heads = 8, kv_heads = 2, rope = rope { theta = 10_000 } }
    ffn       = swiglu(96)
  }
}
cluster two { nodes = 2, node = cpu { devices = 4 } }
train short {
  steps = 10, seq_len = 64
  global_batch = 16 sequences
  optimizer = adamw { lr = 1e-3 }
}
plan main { model = small, cluster = two, train = short }
"""


def compiled(fields: Mapping[str, str], text: str = TEXT) -> Compiled:
    """The plan with some fields set."""
    overrides = list(fields.items())
    loaded = read("small.llama", lambda path: text, overrides)
    assert loaded.spec is not None, loaded.diagnostics
    result = compile_named(loaded.spec, "main")
    assert result.compiled is not None, result.diagnostics
    return result.compiled


def stepped(result: DryRun) -> tuple[RankClass, ...]:
    """The ranks, all of which must have stepped."""
    for rank in result.ranks:
        assert isinstance(rank, RankClass), rank
    return tuple(rank for rank in result.ranks if isinstance(rank, RankClass))


def dry(
    fields: Mapping[str, str], files: Mapping[str, str] | None = None, text: str = TEXT
) -> DryRun:
    """The dry run of the plan, or of another text for it."""
    return dryrun(compiled(fields, text), files)
