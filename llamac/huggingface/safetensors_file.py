"""Files of tensors, written a block of rows at a time: what they hold never lies in memory whole.

The format (huggingface.co/docs/safetensors): the length of the header as 8 little-endian bytes, the
header in JSON, then the bytes of the tensors one after the other. The library reads it in slices,
and writes only what is whole in memory.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from llamac.huggingface.config import Dtype

DTYPES: dict[Dtype, tuple[torch.dtype, str]] = {
    "bf16": (torch.bfloat16, "BF16"),
    "fp32": (torch.float32, "F32"),
    "fp64": (torch.float64, "F64"),
}
"""What torch and the format call them."""

BLOCK = 64 * 2**20
"""Bytes of a tensor that are read, converted and written at once."""


@dataclass(frozen=True)
class Streamed:
    """One tensor: `rows(first, last)` reads a part of it, in any dtype. Blocks begin and end at
    multiples of `together` rows."""

    name: str
    shape: tuple[int, ...]
    rows: Callable[[int, int], Tensor]
    together: int = 1

    def size(self, dtype: Dtype) -> int:
        """Bytes."""
        return math.prod(self.shape) * DTYPES[dtype][0].itemsize

    def blocks(self) -> Iterator[Tensor]:
        width = math.prod(self.shape[1:]) * torch.float64.itemsize
        at_once = max(1, BLOCK // (width * self.together)) * self.together
        for first in range(0, self.shape[0], at_once):
            yield self.rows(first, min(first + at_once, self.shape[0]))


def write_file(path: Path, tensors: Sequence[Streamed], dtype: Dtype) -> None:
    """Write a new file, and flush it to disk."""
    target, written_as = DTYPES[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.size(dtype)
        header[tensor.name] = {
            "dtype": written_as,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for block in tensor.blocks():
                file.write(block.to(target).contiguous().view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def dealt_out(tensors: Sequence[Streamed], dtype: Dtype, largest: int) -> list[list[Streamed]]:
    """In order, into files of at most `largest` bytes; a larger tensor has one of its own."""
    files: list[list[Streamed]] = []
    room = 0
    for tensor in tensors:
        size = tensor.size(dtype)
        if not files or size > room:
            files.append([])
            room = largest
        files[-1].append(tensor)
        room -= size
    return files
