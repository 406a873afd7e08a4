"""A small spec in the language, read and planned, for tests that change one line of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from compiler.build_graph import build_graph
from compiler.lower import lower
from compiler.plan import Plan
from compiler.planner import plan
from compiler.rank_program import RankProgram
from compiler.schema import BLOCKS, ModelSpec, PlanSpec
from dsl.diagnostics import Diagnostic, diagnose
from dsl.frontend import Missing, load
from dsl.source import Span

TEXT = """
model small {
  vocab = 512, d_model = 64, layers = 2
  layer {
    attention = gqa { heads = 8, kv_heads = 2, rope = rope { theta = 10_000 } }
    ffn       = swiglu(96)
  }
}
cluster two { nodes = 2, node = cpu { devices = 4 } }
train short {
  steps = 10, seq_len = 16
  global_batch = 8 sequences
  optimizer = adamw { lr = 1e-3 }
}
plan main {
  model = small, cluster = two, train = short
  tp = 2
}
"""


@dataclass(frozen=True)
class Planned:
    """What the planner said of `text`; `plan` is None exactly when it refused."""

    text: str
    spec: PlanSpec
    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def slugs(self) -> list[str]:
        return [diagnostic.slug for diagnostic in self.diagnostics]

    def value(self, path: str) -> object:
        assert self.plan is not None, self.diagnostics
        return self.plan.main.decision(path).value

    def program(self) -> RankProgram:
        assert self.plan is not None, self.diagnostics
        return lower(self.plan.main, build_graph(self.spec.model), self.spec.train.clip)

    def at(self, span: Span | None) -> str:
        """The text that a label points at."""
        assert span is not None
        return self.text[span.start : span.end]


def planned(*changes: tuple[str, str]) -> Planned:
    """The small spec with some of its text replaced."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    loaded = load("small.llama", lambda path: text, BLOCKS)
    assert loaded.spec is not None, loaded.diagnostics
    spec = loaded.spec.all(PlanSpec)["main"]
    found, problems = plan("main", spec, build_graph(spec.model), loaded.spec.origins)
    return Planned(text, spec, found, diagnose(problems))


def standard_models(library: str) -> dict[str, ModelSpec]:
    """The complete models of one file of the standard library, by name."""
    loaded = load(f"std/{library}.llama", _standard, BLOCKS)
    assert loaded.spec is not None, loaded.diagnostics
    return dict(loaded.spec.all(ModelSpec))


def _standard(path: str) -> bytes | Missing:
    file = files("compiler").joinpath(path)
    return file.read_bytes() if file.is_file() else Missing()
