"""Checkpoints of a run, read without its processes: which there are, and rows of their tensors.

A checkpoint is a folder of safetensors shards, one per rank. Each says where in the whole tensor
its part begins, so the layout that saved it does not matter.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

STATE = "state.json"
SUMS = "SHA256SUMS"
OFFSETS = "DCP_SHARDING_INFO"
"""The entry of a shard's metadata that torch.distributed.checkpoint writes."""


class Slice(Protocol):
    """A tensor of a file that is read when it is indexed."""

    def get_shape(self) -> list[int]: ...
    def __getitem__(self, part: slice) -> Tensor: ...


class Shard(Protocol):
    """An open file of tensors."""

    def metadata(self) -> dict[str, str] | None: ...
    def keys(self) -> list[str]: ...
    def get_slice(self, name: str) -> Slice: ...


def opened(file: Path) -> AbstractContextManager[Shard]:
    return cast("AbstractContextManager[Shard]", safe_open(file, "pt"))


class Unusable(Exception):
    """Not a checkpoint of this model; the message says why."""


@dataclass(frozen=True)
class Piece:
    """A part of one tensor, from `start` on, and the file that holds it."""

    file: Path
    start: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """Parameters by name, in pieces that do not overlap; nothing of them is in memory."""

    folder: Path
    pieces: Mapping[str, tuple[Piece, ...]]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the whole tensor, as far as the pieces reach."""
        ends = (map(sum, zip(p.start, p.shape, strict=True)) for p in self.pieces[name])
        return tuple(map(max, zip(*ends, strict=True)))

    def rows(self, name: str, first: int, last: int) -> Tensor:
        """Rows `first` up to `last` of a tensor, put together from its pieces."""
        made: Tensor | None = None
        for piece in self.pieces[name]:
            start, end = max(first, piece.start[0]), min(last, piece.start[0] + piece.shape[0])
            if start >= end:
                continue
            with opened(piece.file) as shard:
                part = shard.get_slice(name)[start - piece.start[0] : end - piece.start[0]]
            if made is None:
                made = torch.empty(last - first, *self.shape(name)[1:], dtype=part.dtype)
            columns = [
                slice(begin, begin + n)
                for begin, n in zip(piece.start[1:], piece.shape[1:], strict=True)
            ]
            made[(slice(start - first, end - first), *columns)] = part
        if made is None:
            raise Unusable(f"{self.folder}: no piece of {name} holds row {first}")
        return made


def newest(run: Path) -> Path:
    """The last checkpoint of a run. Raises Unusable."""
    numbers = {
        int(path.name.removeprefix("step-")): path
        for path in (run / "checkpoints").glob("step-*")
        if path.name.removeprefix("step-").isdigit()
    }
    if not numbers:
        raise Unusable(f"{run}: no checkpoint is there")
    return numbers[max(numbers)]


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read where everything lies, and check that all is as it was written. Raises Unusable."""
    if not (folder / STATE).is_file():
        raise Unusable(f"{folder}: not a checkpoint: it has no {STATE}")
    _check_sums(folder)
    pieces: dict[str, dict[tuple[int, ...], Piece]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            for name, piece in _pieces(file):
                pieces.setdefault(name, {})[piece.start] = piece
        except (SafetensorError, ValueError, KeyError) as error:
            raise Unusable(f"{file}: {error}") from error
    found = Checkpoint(folder, {name: tuple(parts.values()) for name, parts in pieces.items()})
    for name, parts in found.pieces.items():
        there = sum(math.prod(piece.shape) for piece in parts)
        wanted = math.prod(found.shape(name))
        if there != wanted:
            raise Unusable(f"{folder}: {name} has {there:,} of {wanted:,} elements")
    return found


def _pieces(file: Path) -> list[tuple[str, Piece]]:
    """What a shard holds of parameters; the optimizer's state is passed over."""
    found: list[tuple[str, Piece]] = []
    with opened(file) as shard:
        offsets = cast(
            "dict[str, dict[str, list[int]]]", json.loads((shard.metadata() or {})[OFFSETS])
        )
        for name in sorted(shard.keys()):
            if not name.startswith("optimizer."):
                start = tuple(offsets[name]["saved_offsets"])
                shape = tuple(shard.get_slice(name).get_shape())
                found.append((name, Piece(file, start, shape)))
    return found


def _check_sums(folder: Path) -> None:
    """Against the list that was written last: without one, the checkpoint was never finished."""
    listing = folder / SUMS
    if not listing.is_file():
        raise Unusable(f"{folder}: not a checkpoint: it has no {SUMS}")
    for line in listing.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            found = ""
        if found != expected:
            raise Unusable(f"{folder / name}: not what was written: {SUMS} has another sum")
