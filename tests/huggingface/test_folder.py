"""Folders of weights that contradict themselves: both sides are named, and nothing is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from llamac.huggingface.folder import INDEX, SINGLE, Contradiction, unlike, weights_in

A, B, C = torch.zeros(2, 3), torch.zeros(4), torch.zeros(5, dtype=torch.bfloat16)
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
BYTES = 2 * 3 * 4 + 4 * 4 + 5 * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards and their index."""
    save_file({"a": A, "b": B}, tmp_path / FIRST)
    save_file({"c": C}, tmp_path / SECOND)
    write_index(tmp_path, {"a": FIRST, "b": FIRST, "c": SECOND})
    return tmp_path


def write_index(folder: Path, weight_map: object, total: object = BYTES) -> None:
    content = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(content))


def test_shards_and_a_single_file_are_read(folder: Path) -> None:
    found = weights_in(folder)
    assert found is not None
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        "a": (2, 3),
        "b": (4,),
        "c": (5,),
    }
    assert found.odd == ()
    assert unlike(found, {"a": (2, 3), "c": (5,)}) is None
    assert unlike(found, {"a": (3, 2)}) == f"a is [2, 3] in {FIRST}, and [3, 2] in this model"
    assert unlike(found, {"d": (1,)}) == "there is no d, which this model has"
    for file in (INDEX, SECOND):
        (folder / file).unlink()
    (folder / FIRST).rename(folder / SINGLE)
    alone = weights_in(folder)
    assert alone is not None
    assert alone.tensors.keys() == {"a", "b"}
    (folder / SINGLE).unlink()
    assert weights_in(folder) is None


def test_a_new_save_beside_the_index_of_an_old_one(folder: Path) -> None:
    save_file({"a": A}, folder / SINGLE)
    with pytest.raises(Contradiction, match=rf"{SINGLE} and {INDEX} are two sets of weights"):
        weights_in(folder)
    write_index(folder, {"a": SINGLE}, 24)
    found = weights_in(folder)
    assert found is not None
    assert "does not name" in found.odd[0]


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "gone.safetensors"}, "names gone.safetensors, which is not there"),
        ({"a": SECOND}, f"puts a in {SECOND}, which lacks it"),
        (3, "has no weight_map"),
    ],
)
def test_an_index_that_does_not_fit_its_shards(
    weight_map: object, message: str, folder: Path
) -> None:
    write_index(folder, weight_map)
    with pytest.raises(Contradiction, match=message):
        weights_in(folder)


def test_what_an_index_leaves_out_or_counts_otherwise_is_odd(folder: Path) -> None:
    write_index(folder, {"a": FIRST}, 24)
    found = weights_in(folder)
    assert found is not None
    assert found.odd == (
        f"{INDEX} does not name {SECOND}, so it is not read",
        f"{INDEX} does not name b, so it is not read",
    )
    write_index(folder, {"a": FIRST, "b": FIRST, "c": SECOND}, 7)
    found = weights_in(folder)
    assert found is not None
    assert found.odd == (f"{INDEX} gives 7 bytes as its total_size, and its tensors have {BYTES}",)


def test_files_that_no_program_reads(folder: Path) -> None:
    (folder / INDEX).unlink()
    with pytest.raises(Contradiction, match=f"has {FIRST}, but neither {SINGLE} nor {INDEX}"):
        weights_in(folder)
    (folder / SINGLE).write_bytes((folder / FIRST).read_bytes()[:-3])
    with pytest.raises(Contradiction, match=f"{SINGLE} is cut short"):
        weights_in(folder)
    (folder / SINGLE).write_bytes(b"\xff" * 100)
    with pytest.raises(Contradiction, match="no safetensors file"):
        weights_in(folder)
    save_file({"a": A.long()}, folder / SINGLE)
    with pytest.raises(Contradiction, match="is I64, not F64"):
        weights_in(folder)
