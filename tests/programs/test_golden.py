"""Every stage of the same examples, as reviewed texts: `--update-golden` rewrites them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from backends.emit import emit
from compiler.dump import dump_graph, dump_plan, dump_rank_program
from compiler.pipeline import Compiled, programs
from dsl.canonical import to_json
from dsl.spec import Origins
from llamac import api

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PLANS = {"quickstart": "laptop", "llama3-405b": "main"}


@pytest.mark.parametrize("example", PLANS)
def test_every_stage(example: str, update_golden: bool) -> None:
    planned = api.plan(ROOT / "examples" / f"{example}.llama")
    compiled = planned.compiled(PLANS[example])
    made = dict(stages(compiled, planned.origins))
    folder = GOLDEN / example
    if update_golden:
        rewrite(folder, made)
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".ruff_cache" not in path.parts  # ruff, run here, leaves one
    }
    assert found.keys() == made.keys()
    for name, text in made.items():
        assert found[name] == text, name


def stages(compiled: Compiled, origins: Origins) -> Iterator[tuple[str, str]]:
    """File name -> text: spec, graph, plan, rank programs, the program that has the phase with most
    tokens."""
    yield "spec.json", json.dumps(to_json(compiled.plan.spec), indent=2) + "\n"
    yield "graph.txt", dump_graph(compiled.graph)
    yield "plan.txt", dump_plan(compiled.plan)
    for phase, program in zip(compiled.plan.phases, compiled.programs, strict=True):
        yield f"rank_program.{phase.name}.txt", dump_rank_program(program)
    main = compiled.plan.main
    largest = next(part for part in programs(compiled) if main in part.plan.phases)
    for name, text in emit(largest, origins).files.items():
        yield f"program/{name}", text


def rewrite(folder: Path, made: Mapping[str, str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
