"""Corpora of the tests, and the files that hold them, written here byte by byte."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

SEPARATOR = 0
NAMES = ("a.bin", "a/b.bin", "a/c/0.bin", "b.bin", "c.bin")
"""In the order in which a folder is read: `a.bin` stands before all of `a/`."""


def countable(draw: random.Random, count: int) -> list[int]:
    """Documents of random lengths, at least one token each beside the separator: every other token
    is one more than the place where it stands, so what was read tells where."""
    tokens = [place + 1 for place in range(count)]
    end = -1
    while (end := end + draw.choice((2, 2, 3, 5, 8, 21, 60))) < count:
        tokens[end] = SEPARATOR
    return tokens


def any_tokens(draw: random.Random, count: int, vocab: int) -> list[int]:
    """Many separators, some of them side by side."""
    often = draw.choice((0.0, 0.1, 0.3, 0.7))
    return [SEPARATOR if draw.random() < often else draw.randrange(1, vocab) for _ in range(count)]


def words(tokens: Sequence[int], code: str = "I") -> bytes:
    """Little-endian, of the width that `struct` knows by this letter."""
    return struct.pack(f"<{len(tokens)}{code}", *tokens)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_tokens(folder: Path, tokens: Sequence[int], draw: random.Random) -> None:
    """As uint32 in one to five files, some of them perhaps empty."""
    count = draw.randrange(1, len(NAMES) + 1)
    cuts = [0, *sorted(draw.randrange(len(tokens) + 1) for _ in range(count - 1)), len(tokens)]
    for name, (first, last) in zip(NAMES, pairwise(cuts), strict=False):
        write(folder / name, words(tokens[first:last]))


def write_shards(
    folder: Path, sources: Mapping[str, Sequence[int]], codes: str = "HI", **changes: object
) -> None:
    """A prepared folder: two shards a source, of the widths that `codes` says in turns."""
    dtypes = {"B": "uint8", "H": "uint16", "I": "uint32"}
    ranges: dict[str, tuple[int, int]] = {}
    shards: list[dict[str, object]] = []
    for name, tokens in sources.items():
        ranges[name] = (sum(count for _, count in ranges.values()), len(tokens))
        for part in (tokens[: len(tokens) // 3], tokens[len(tokens) // 3 :]):
            code = codes[len(shards) % len(codes)]
            file, content = f"{len(shards)}.bin", words(part, code)
            write(folder / file, content)
            told = {"file": file, "dtype": dtypes[code], "tokens": len(part)}
            shards.append({**told, "sha256": hashlib.sha256(content).hexdigest()})
    index: dict[str, object] = {
        "format": "llamac shards 1",
        "separator": SEPARATOR,
        "largest": max((max(tokens, default=0) for tokens in sources.values()), default=0),
        "sources": ranges,
        "shards": shards,
    }
    write(folder / "index.json", json.dumps({**index, **changes}).encode())


MEGATRON = {1: "B", 2: "b", 3: "h", 4: "i", 5: "q", 6: "d", 7: "f", 8: "H"}
"""`DType` of megatron/core/datasets/indexed_dataset.py: uint8, int8, int16, int32, int64, float64,
float32, uint16. Its preprocessing takes uint16 for vocabularies below 65,500, and int32 else."""


def megatron_index(
    lengths: Sequence[int],
    documents: Sequence[int],
    code: int,
    *,
    magic: bytes = b"MMIDIDX\x00\x00",
    version: int = 1,
) -> bytes:
    """NAME.idx as its `_IndexWriter` writes it: `documents` are the first sequences of each, and
    the number of all at their end."""
    width = struct.calcsize(MEGATRON[code])
    pointers = [width * sum(lengths[:i]) for i in range(len(lengths))]
    return b"".join(
        (
            magic,
            struct.pack("<Q", version),
            struct.pack("<B", code),
            struct.pack("<Q", len(lengths)),
            struct.pack("<Q", len(documents)),
            array("i", lengths).tobytes(),
            array("q", pointers).tobytes(),
            array("q", documents).tobytes(),
        )
    )


def write_megatron(name: Path, tokens: Sequence[int], code: int, draw: random.Random) -> None:
    """NAME.bin and NAME.idx: sequences of random lengths, some documents of several of them."""
    lengths: list[int] = []
    while (left := len(tokens) - sum(lengths)) > 0:
        lengths.append(min(left, draw.randrange(1, 12)))
    inner = [i for i in range(1, len(lengths)) if draw.random() < 0.7]
    write(name.with_suffix(".bin"), words(tokens, MEGATRON[code]))
    write(name.with_suffix(".idx"), megatron_index(lengths, [0, *inner, len(lengths)], code))
