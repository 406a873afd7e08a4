"""A run that changes its layout on the way learns what it would have learnt: 1e-10 in float64."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from backends.program import Program
from tests.programs.fleet import Start, imports, run
from tests.programs.support import metrics, program, replaced, write, write_text

Settings = tuple[tuple[str, str], ...]

FEW: Settings = (("cluster.node.devices", "1"), ("tp", "1"), ("dp", "1"))
LAYOUTS: dict[str, Settings] = {
    "copies of key/value heads": (("tp", "4"), ("dp", "1")),
    "fully sharded": (("tp", "1"), ("dp", "4")),
    "optimizer sharded": (("sharding", "zero1"), ("tp", "1"), ("dp", "4")),
    "hybrid": (("tp", "1"), ("dp", "4"), ("fsdp", "2")),
    "replicated": (("tp", "1"), ("dp", "2"), ("fsdp", "1"), ("cluster.node.devices", "2")),
    "uneven shards": (("tp", "1"), ("dp", "3"), ("cluster.node.devices", "3"),
                      ("train.global_batch", "6 sequences"), ("microbatch", "1 sequences")),
    "pipeline": (("tp", "1"), ("pp", "2")),
    "pipeline of tensor-parallel stages": (("dp", "1"), ("pp", "2")),
    "context": (("tp", "1"), ("cp", "2")),
    "context and tensor": (("dp", "1"), ("cp", "2")),
    "other order, recomputed": (("order", "[dp, tp]"), ("recompute", "full")),
}  # fmt: skip


def exact(*settings: tuple[str, str]) -> Program:
    """In float64; validated after every step, as a run that ends early does after its last."""
    dtypes = ("PARAMETER", "COMPUTE", "REDUCE", "ACCUMULATE")
    made = program(*settings, ("train.eval.every", "1 steps"))
    return replaced(made, **{f"{name}_DTYPE": "float64" for name in dtypes})


def world_of(settings: Settings) -> int:
    return int(dict(settings).get("cluster.node.devices", "4"))


def go(made: Program, place: Path, data: Path, world: int, *arguments: str) -> str:
    """Run in `place`, to its end. What it validates on lies beside what it trains on."""
    made = replaced(made, VALIDATION_DATA=str(data / "validation"))
    imports(made)
    shutil.rmtree(place / "out", ignore_errors=True)
    given = ("--run", "run", "--data", str(data / "train"), *arguments)
    codes, said = run(Start(write(made, place / "out"), place, world, given))
    assert codes == [0] * world, said
    return said


@dataclass(frozen=True)
class Begun:
    """A run on data x tensor: undisturbed in `whole`, after two steps in `parts`."""

    data: Path
    whole: Path
    parts: Path


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], Begun]:
    """By the batch, which has to be the same in both."""

    @cache
    def begun(batch: Settings) -> Begun:
        folder = tmp_path_factory.mktemp("begun")
        write_text(folder)
        made = Begun(folder, folder / "whole", folder / "parts")
        for place, arguments in ((made.whole, ()), (made.parts, ("--steps", "2"))):
            place.mkdir()
            go(exact(*batch, ("microbatch", "1 sequences")), place, folder, 4, *arguments)
        return made

    return begun


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_on_to_one_process(
    layout: str, begin: Callable[[Settings], Begun], tmp_path: Path
) -> None:
    """Two steps on data x tensor, two on the layout, two on one process; and six undisturbed."""
    settings = LAYOUTS[layout]
    batch = tuple(one for one in settings if one[0] == "train.global_batch")
    begun = begin(batch)
    shutil.copytree(begun.parts / "run", tmp_path / "run")
    said = go(exact(*settings), tmp_path, begun.data, world_of(settings), "--steps", "4")
    assert "resumed from run/checkpoints/step-2" in said
    said = go(exact(*batch, *FEW), tmp_path, begun.data, 1)
    assert "resumed from run/checkpoints/step-4" in said
    expected, found = metrics(begun.whole / "run"), metrics(tmp_path / "run")
    assert [record["step"] for record in found] == [1, 2, 3, 4, 5, 6]
    for one, other in zip(expected, found, strict=True):
        for key in ("loss", "val_loss", "grad_norm", "lr", "tokens"):
            assert other[key] == pytest.approx(one[key], rel=1e-10)
    states = [
        json.loads((place / "run" / "checkpoints" / "step-6" / "state.json").read_text())
        for place in (begun.whole, tmp_path)
    ]
    assert states[0] == states[1]
