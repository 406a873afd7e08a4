"""export: a checkpoint -> a Hugging Face folder, a block of rows at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from compiler.huggingface.families import Json
from compiler.huggingface.names import stored_by
from compiler.schema import ModelSpec
from llamac.huggingface.checkpoint import Checkpoint, Unusable
from llamac.huggingface.config import NAME, Dtype
from llamac.huggingface.safetensors_file import Streamed, dealt_out, write_file
from llamac.output import exchange, tree
from llamac.output.scratch import clear_leftovers, scratch_beside

GENERATION = "generation_config.json"
INDEX = "model.safetensors.index.json"
SHARD = 5 * 10**9
"""Bytes of a shard, as `transformers` writes them."""

PERMUTED = ("attention.wq", "attention.wk", "attention.bq", "attention.bk")
HEAD_NORMS = ("attention.q_norm", "attention.k_norm")


def tensors_of(model: ModelSpec, checkpoint: Checkpoint) -> list[Streamed]:
    """Every tensor of the folder, read from the checkpoint when it is written. Raises Unusable."""
    stored = stored_by(model)
    wrong = sorted(
        name
        for name in stored.keys() | checkpoint.pieces
        if name not in stored
        or name not in checkpoint.pieces
        or checkpoint.shape(name) != stored[name].shape
    )
    if wrong:
        name = wrong[0]
        there = list(checkpoint.shape(name)) if name in checkpoint.pieces else "absent"
        here = list(stored[name].shape) if name in stored else "absent"
        raise Unusable(
            f"{checkpoint.folder}: not of this model: {len(wrong)} tensors differ, the first is "
            f"{name}: {there} there, {here} here"
        )
    return [
        Streamed(at.name, at.shape, reader(checkpoint, name, turned), turned)
        for name, at in stored.items()
        for turned in (head_rows(model, name),)
    ]


def head_rows(model: ModelSpec, name: str) -> int:
    """Rows of a head, where they change places; otherwise 1."""
    if not name.startswith("layers."):
        return 1
    _, index, local = name.split(".", 2)
    attention = model.layer.kinds[model.layer.indices[int(index)]].attention
    turned = attention.rope is not None and attention.rope.pairs == "interleaved"
    return attention.head_dim if turned and local in (*PERMUTED, *HEAD_NORMS) else 1


def reader(checkpoint: Checkpoint, name: str, head_dim: int) -> Callable[[int, int], Tensor]:
    """Rows of one parameter, heads in the order of the folder: pairs that turn together are i and
    i + head_dim / 2 there, 2i and 2i + 1 here. `head_dim` is 1 where nothing changes places."""

    def rows(first: int, last: int) -> Tensor:
        read = checkpoint.rows(name, first, last)
        if head_dim == 1:
            return read
        pairs = read.view(-1, head_dim // 2, 2, *read.shape[1:])
        return torch.swapaxes(pairs, 1, 2).reshape(read.shape)

    return rows


def write_folder(
    target: Path,
    config: Mapping[str, Json],
    tensors: Sequence[Streamed],
    dtype: Dtype,
    *,
    largest: int = SHARD,
    tokenizer: Mapping[str, bytes] = MappingProxyType({}),
) -> int:
    """Write a folder that is not there yet, wholly or not at all; return its number of shards.

    Raises FileExistsError where it is there, OSError where the system refuses.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise FileExistsError(0, "it is there already", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(target)
    with scratch_beside(target) as scratch:
        staged = scratch / "new"
        staged.mkdir()
        shards = write_shards(staged, tensors, dtype, largest)
        _write(staged / NAME, config)
        ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        _write(staged / GENERATION, {"_from_model_config": True, **ends})
        for name, content in tokenizer.items():
            (staged / name).write_bytes(content)
        tree.flush_folders(staged)
        exchange.place(staged, target)
        tree.flush(target.parent)
    return shards


def write_shards(folder: Path, tensors: Sequence[Streamed], dtype: Dtype, largest: int) -> int:
    """One file, or several and their index; return how many."""
    files = dealt_out(tensors, dtype, largest)
    place: dict[str, Json] = {}
    for number, content in enumerate(files, start=1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        name = name if len(files) > 1 else "model.safetensors"
        write_file(folder / name, content, dtype)
        place |= {tensor.name: name for tensor in content}
    if len(files) > 1:
        total = sum(tensor.size(dtype) for tensor in tensors)
        _write(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": place})
    return len(files)


def _write(path: Path, content: Mapping[str, Json]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
