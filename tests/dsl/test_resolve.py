"""Files, origins and overrides: what `load` promises beside values."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.schema import BLOCKS, ModelSpec, PlanSpec
from dsl.frontend import Missing, Unreadable, in_memory, load
from dsl.spec import OriginKind
from tests.dsl.examples import SMALL

STANDARD = Path(__file__).parents[2] / "compiler" / "std"

PARTS = {
    "project/runs/main.llama": 'import "../models/tiny" as models\n'
    "model bigger extends models.tiny {\n  layers = 8\n}\n",
    "project/models/tiny.llama": SMALL.partition("cluster")[0],
    "secret.llama": "let password = 1\n",
}


def test_imports_start_from_the_importing_file_and_stay_under_the_root() -> None:
    inside = load("project/runs/main.llama", in_memory(PARTS), BLOCKS, root="project")
    assert inside.spec is not None
    assert inside.spec.all(ModelSpec)["bigger"].layers == 8
    assert list(inside.sources) == ["project/runs/main.llama", "project/models/tiny.llama"]
    outside = load("project/runs/main.llama", in_memory(PARTS), BLOCKS)
    assert [d.slug for d in outside.diagnostics] == ["import-outside"]


@pytest.mark.parametrize(
    "wanted",
    ["../secret", "/secret", "~/secret", "std/../secret", "a/../../secret", "..\\\\secret", ""],
)
def test_nothing_outside_is_ever_looked_up(wanted: str) -> None:
    asked: list[str] = []

    def lookup(path: str) -> bytes | str | Missing | Unreadable:
        asked.append(path)
        return f'import "{wanted}" as x\n' if path == "project/a.llama" else Missing()

    found = load("project/a.llama", lookup, BLOCKS)
    assert [d.slug for d in found.diagnostics] == ["import-outside"]
    assert asked == ["project/a.llama"]


def test_a_file_imported_twice_is_read_once() -> None:
    asked: list[str] = []
    files = {
        "a.llama": 'import "b" as b\nimport "c" as c\n',
        "b.llama": 'import "c" as c\n',
        "c.llama": "let d_mod = = 1\n",
    }

    def lookup(path: str) -> str:
        asked.append(path)
        return files[path]

    found = load("a.llama", lookup, BLOCKS)
    assert sorted(asked) == ["a.llama", "b.llama", "c.llama"]
    assert len(found.diagnostics) == 1


def test_origins_point_at_what_was_written() -> None:
    found = load("a.llama", in_memory({"a.llama": SMALL}), BLOCKS)
    assert found.spec is not None
    origins, text = found.spec.origins, found.sources["a.llama"].text

    def written(path: str) -> str:
        span = origins.span("main", path)
        assert span is not None
        return text[span.start : span.end]

    assert written("tp") == "2"
    assert written("model.layer.attention.heads") == "4"
    assert written("model.layer.attention.rope.theta") == "10_000"
    assert written("train.lr_schedule.warmup") == "10 steps"
    # What nobody wrote points at the nearest thing that encloses it.
    assert written("train.optimizer.eps").startswith("adamw {")
    assert written("dp") == "plan main"
    kinds = {path: origins.get("main", path) for path in ("tp", "dp", "train.steps", "nothing")}
    assert [None if o is None else o.kind for o in kinds.values()] == [
        OriginKind.WRITTEN,
        OriginKind.DEFAULT,
        OriginKind.INHERITED,
        None,
    ]
    derived = origins.get("main", "model.layer.attention.head_dim")
    assert derived is not None
    assert derived.kind is OriginKind.DERIVED
    assert derived.text == "d_model / heads"


def test_overrides_reach_every_plan_and_nothing_else() -> None:
    text = SMALL + "plan other { model = tiny, cluster = laptop, train = short }\n"
    overrides = [("tp", "4"), ("model.d_model", "2 * width"), ("train.lr_schedule.warmup", "0")]
    found = load("a.llama", in_memory({"a.llama": text}), BLOCKS, overrides)
    assert found.spec is not None
    plans = found.spec.all(PlanSpec)
    assert [(p.tp, p.model.d_model) for p in plans.values()] == [(4, 128), (4, 128)]
    assert found.spec.all(ModelSpec)["tiny"].d_model == 64


@pytest.mark.parametrize("file", sorted(STANDARD.glob("*.llama")), ids=lambda file: file.stem)
def test_the_standard_library_has_no_diagnostics(file: Path) -> None:
    files = {f"std/{one.name}": one.read_bytes() for one in STANDARD.glob("*.llama")}
    found = load(f"std/{file.name}", in_memory(files), BLOCKS)
    assert found.diagnostics == ()
    assert found.spec is not None


def test_what_depends_on_an_error_keeps_silent() -> None:
    """`d_model` is wrong; head_dim, scale, the plan and its asserts depend on it."""
    text = SMALL.replace("let width = 64", "let width = 64s")
    found = load("a.llama", in_memory({"a.llama": text}), BLOCKS)
    assert [d.slug for d in found.diagnostics] == ["wrong-unit"]
