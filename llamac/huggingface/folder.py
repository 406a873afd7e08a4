"""The weights of a Hugging Face folder by their headers: what contradicts itself, or the model.

A program refuses the same when it starts (`pretrained.py`); here it is found before, where the
folder is at hand. Reads no tensor and imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS = "model-*.safetensors"
LARGEST_HEADER = 100 * 2**20
"""Bytes; the limit of the library."""
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of an element of the dtypes that a program reads."""


class Contradiction(Exception):
    """The folder cannot be used; the message says what of it contradicts what."""


@dataclass(frozen=True)
class Tensor:
    file: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * WIDTHS[self.dtype]


@dataclass(frozen=True)
class Weights:
    """Tensors by name, and what is odd about the folder though it can be used."""

    tensors: Mapping[str, Tensor]
    odd: tuple[str, ...]


def weights_in(folder: Path) -> Weights | None:
    """None where the folder has no weights. Raises Contradiction, OSError."""
    single, index = folder / SINGLE, folder / INDEX
    if not index.is_file():
        if single.is_file():
            return Weights(_header(single), ())
        others = sorted(file.name for file in (*folder.glob("*.bin"), *folder.glob(SHARDS)))
        if others:
            raise Contradiction(f"it has {others[0]}, but neither {SINGLE} nor {INDEX}")
        return None
    weight_map, total = _index(index)
    files = sorted(set(weight_map.values()))
    if single.is_file() and files != [SINGLE]:
        raise Contradiction(
            f"{SINGLE} and {INDEX} are two sets of weights, and one is out of date: remove one "
            f"(transformers reads {SINGLE})"
        )
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise Contradiction(f"{INDEX} names {missing[0]}, which is not there")
    headers = {name: _header(folder / name) for name in files}
    lost = [name for name, file in weight_map.items() if name not in headers[file]]
    if lost:
        raise Contradiction(f"{INDEX} puts {lost[0]} in {weight_map[lost[0]]}, which lacks it")
    tensors = {name: headers[file][name] for name, file in weight_map.items()}
    every = {name for header in headers.values() for name in header}
    return Weights(tensors, (*_odd(folder, files, every, tensors, total),))


def _odd(
    folder: Path, files: list[str], every: set[str], tensors: Mapping[str, Tensor], total: object
) -> Iterator[str]:
    extra = sorted({file.name for file in folder.glob(SHARDS)} - {*files})
    if extra:
        yield f"{INDEX} does not name {extra[0]}, so it is not read"
    if every - tensors.keys():
        yield f"{INDEX} does not name {min(every - tensors.keys())}, so it is not read"
    size = sum(tensor.bytes for tensor in tensors.values())
    if isinstance(total, int) and total != size:
        yield f"{INDEX} gives {total:,} bytes as its total_size, and its tensors have {size:,}"


def unlike(weights: Weights, wanted: Mapping[str, tuple[int, ...]]) -> str | None:
    """The first tensor that is not of the model whose tensors are `wanted`. What the model lacks
    is left to the program, which knows what may be left over."""
    for name, shape in wanted.items():
        if name not in weights.tensors:
            return f"there is no {name}, which this model has"
        found = weights.tensors[name]
        if found.shape != shape:
            return f"{name} is {[*found.shape]} in {found.file}, and {[*shape]} in this model"
    return None


def _index(file: Path) -> tuple[dict[str, str], object]:
    try:
        content: Any = json.loads(file.read_bytes())
        weight_map = {str(name): str(at) for name, at in content["weight_map"].items()}
        metadata = cast(dict[str, object], content.get("metadata") or {})
        return weight_map, metadata.get("total_size")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Contradiction(f"{file.name} has no weight_map") from error


def _header(file: Path) -> dict[str, Tensor]:
    """The format (huggingface.co/docs/safetensors): the header's length in 8 bytes, its JSON, then
    bytes of tensors, up to the end of the file."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > LARGEST_HEADER:
            raise Contradiction(f"{file.name} is no safetensors file")
        text = opened.read(length)
    try:
        header = cast(dict[str, Any], json.loads(text))
        header.pop("__metadata__", None)
        end = max((one["data_offsets"][1] for one in header.values()), default=0)
        made = {
            name: Tensor(file.name, str(one["dtype"]), tuple(map(int, one["shape"])))
            for name, one in header.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Contradiction(f"{file.name} is no safetensors file") from error
    if file.stat().st_size != 8 + length + end:
        raise Contradiction(f"{file.name} is cut short: its header says {8 + length + end:,} bytes")
    strange = [name for name, one in made.items() if one.dtype not in WIDTHS]
    if strange:
        dtype = made[strange[0]].dtype
        raise Contradiction(f"{strange[0]} in {file.name} is {dtype}, not {', '.join(WIDTHS)}")
    return made
