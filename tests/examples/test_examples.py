"""Every example is right, and resolves to what its comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.emit import emit
from compiler.pipeline import Compiled, programs
from llamac import api

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.llama"))


def compiled(example: str, plan: str) -> Compiled:
    (path,) = [path for path in EXAMPLES if path.stem == example]
    return api.plan(path).compiled(plan)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_diagnostic(path: Path) -> None:
    planned = api.plan(path)
    assert planned.diagnostics == ()
    assert planned.results


def test_llama3_405b_is_the_published_layout() -> None:
    """arXiv 2407.21783, table 4: tp 8, cp 1, pp 16, dp 128 and tp 8, cp 16, pp 16, dp 8."""
    phases = compiled("llama3-405b", "main").plan.phases
    assert [phase.name for phase in phases] == ["start", "middle", "main", "long"]
    *_, main, long = phases
    axes = ("tp", "cp", "pp", "dp")
    assert [main.mesh.axis_size(axis) for axis in axes] == [8, 1, 16, 128]
    assert [long.mesh.axis_size(axis) for axis in axes] == [8, 16, 16, 8]
    assert (main.seq_len, long.seq_len) == (8192, 131_072)
    assert main.tokens_per_step == long.tokens_per_step == 16 * 2**20
    assert main.mesh.world == long.mesh.world == 16_384
    assert main.stages == (0, *[1] * 126, 0)


def test_llama3_405b_is_short_enough_to_read() -> None:
    """Each of its programs, without the numbers of config.py and what only launches it."""
    for part in programs(compiled("llama3-405b", "main")):
        files = emit(part).files
        names = {name for name in files if name.endswith(".py") and "/" not in name}
        lines = {name: files[name].count("\n") for name in names - {"config.py"}}
        widths = [len(line) for name in lines for line in files[name].splitlines()]
        assert max(widths) <= 100
        assert sum(lines[f"{name}.py"] for name in ("model", "parallel", "train")) <= 950
        assert sum(lines.values()) <= 1750
        assert lines["model.py"] <= 350


@pytest.mark.parametrize(
    ("example", "parameters"),
    [
        ("llama3-8b", 8_030_261_248),
        ("llama3-70b", 70_553_706_496),
        ("llama3-405b", 405_853_388_800),
    ],
)
def test_parameters(example: str, parameters: int) -> None:
    assert compiled(example, "main").estimates["parameters"].value == parameters
