"""A corpus made to be awkward: documents of every length, borders inside sequences, rows and
whole microbatches of one rank without a single target that counts, an epoch that ends midway."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from backends.reference.data import place, turns
from compiler.data import SHARDS_FORMAT
from compiler.schema.train import (
    Data,
    HfData,
    JsonlData,
    MegatronData,
    MixtureData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
)
from compiler.twin.training import SEPARATOR

ENDS = (0.15, 0.0, 0.4, 0.05)
"""Shares of separators in the sequences, in turn: every corpus of two has documents that end."""

LONGEST_DOCUMENT = 7
"""Tokens of a piece of a file that Megatron's index lists; pieces need not be documents."""


@dataclass(frozen=True)
class Reading:
    """How a phase of the run reads: what decides which sequences meet in a microbatch."""

    seq_len: int
    vocab: int
    tp: int
    seed: int
    dp: int
    microbatch: int
    microbatches: int
    steps: int

    @property
    def global_batch(self) -> int:
        return self.dp * self.microbatch * self.microbatches


def block_of(readings: Sequence[Reading]) -> int:
    """Tokens that the order of the data keeps together: whole sequences in every phase."""
    return math.lcm(*(reading.seq_len for reading in readings))


def steps_of(readings: Sequence[Reading]) -> Iterator[tuple[Reading, int]]:
    """Every step of the run: how it reads, and from which token of the run on. A phase starts with
    a whole sequence of its own."""
    position = 0
    for reading in readings:
        position = math.ceil(position / reading.seq_len) * reading.seq_len
        for _ in range(reading.steps):
            yield reading, position
            position += reading.global_batch * reading.seq_len


def write_corpus(
    data: Data, readings: Sequence[Reading], folder: Path, validation: bool = False
) -> None:
    """Files under `folder` in the format that `data` names."""
    vocab = readings[0].vocab

    def tokens(separator: int, values: int) -> list[int]:
        found = _tokens(readings, separator, values)
        return _without_last_target(found, readings) if validation else found

    match data:
        case TextData(tokenizer=None):
            _write_text(tokens(0, 256), folder)
        case TokenData(separator=separator, dtype=dtype):
            width = 2 if dtype == "uint16" else 4
            first, second = _halves(tokens(separator, vocab))
            _write(folder / "first.bin", _words(first, width))
            _write(folder / "second.bin", _words(second, width))
        case MegatronData(separator=separator):
            first, second = _halves(tokens(separator, vocab))
            _write_megatron(first, folder / "first", 8, 2)
            _write_megatron(second, folder / "second", 4, 4)
        case MixtureData():
            _write_shards(_mixed(data, readings), folder)
        case ShardData() | TextData() | JsonlData() | ParquetData() | HfData():
            _write_shards({"": tokens(SEPARATOR, vocab)}, folder)


def _halves(tokens: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    return tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]


def _words(tokens: Sequence[int], width: int) -> bytes:
    return b"".join(token.to_bytes(width, "little") for token in tokens)


def _mixed(mixture: MixtureData, readings: Sequence[Reading]) -> dict[str, list[int]]:
    """Each source a block or two short of what the steps read of it, and with tokens after its last
    block, so that sources begin at no multiple of it."""
    draw, block = random.Random(21), block_of(readings)
    *_, (last, position) = steps_of(readings)
    blocks = math.ceil((position + last.global_batch * last.seq_len) / block)
    weights = {name: Fraction(str(source.weight)) for name, source in mixture.source.items}
    read = [source for source, _ in turns((*weights.values(),), blocks)]
    mixed: dict[str, list[int]] = {}
    for source, name in enumerate(weights):
        length = max(1, read.count(source) - 1 - source % 2) * block + 1 + source
        mixed[name] = [draw.randrange(readings[0].vocab) for _ in range(length)]
    return mixed


def _write_shards(sources: Mapping[str, Sequence[int]], folder: Path) -> None:
    """Three shards a source, of different sizes and widths."""
    ranges: dict[str, tuple[int, int]] = {}
    shards: list[dict[str, object]] = []
    for name, tokens in sources.items():
        ranges[name] = (sum(count for _, count in ranges.values()), len(tokens))
        cuts = (0, len(tokens) // 3, len(tokens) // 2, len(tokens))
        for part, (start, end) in enumerate(pairwise(cuts)):
            width = 4 if part == 1 else 2
            file = f"{name}shard-{part}.bin"
            words = _words(tokens[start:end], width)
            _write(folder / file, words)
            shard = {"file": file, "dtype": f"uint{8 * width}", "tokens": end - start}
            shards.append({**shard, "sha256": hashlib.sha256(words).hexdigest()})
    index = {
        "format": SHARDS_FORMAT,
        "separator": SEPARATOR,
        "largest": max(max(tokens) for tokens in sources.values()),
        "sources": ranges,
        "shards": shards,
    }
    _write(folder / "index.json", json.dumps(index).encode())


def _write_megatron(tokens: Sequence[int], name: Path, code: int, width: int) -> None:
    """NAME.bin and NAME.idx."""
    count = -(-len(tokens) // LONGEST_DOCUMENT)
    starts = [LONGEST_DOCUMENT * i for i in range(count)]
    lengths = [min(LONGEST_DOCUMENT, len(tokens) - start) for start in starts]
    head = b"MMIDIDX\0\0" + _words([1], 8) + _words([code], 1) + _words([count, count + 1], 8)
    addresses = _words([width * start for start in starts], 8)
    index = head + _words(lengths, 4) + addresses + _words(range(count + 1), 8)
    _write(name.with_suffix(".bin"), _words(tokens, width))
    _write(name.with_suffix(".idx"), index)


def _tokens(readings: Sequence[Reading], separator: int, values: int) -> list[int]:
    """A little less data than the steps read, so that the last one begins the second epoch."""
    draw = random.Random(20)
    *_, (last, position) = steps_of(readings)
    end = position + (last.global_batch - max(1, last.global_batch // 2)) * last.seq_len
    block, seq_len = block_of(readings), readings[0].seq_len
    blocks = max(1, end // block)
    empty = _empty_sequences(readings, blocks)
    ordinary = [token for token in range(values) if token != separator]
    edges = [token for token in ordinary if token in _edges(readings[0])]
    tokens: list[int] = []
    for index, start in enumerate(range(0, blocks * block, seq_len)):
        often = 1.0 if start in empty else ENDS[index % len(ENDS)]
        tokens += [
            separator
            if draw.random() < often
            else draw.choice(edges if edges and draw.random() < 0.3 else ordinary)
            for _ in range(seq_len)
        ]
        if often > min(ENDS):
            tokens[start + seq_len // 3] = separator
    return [*tokens, separator]


def _without_last_target(tokens: list[int], readings: Sequence[Reading]) -> list[int]:
    """A whole number of sequences, of which the last lacks a target and does not count: one token
    less than the training data, which lose a sequence if one more is taken off."""
    two = 2 * max(reading.seq_len for reading in readings)
    return [*tokens[:-2], tokens[-1]] if len(tokens) > two else tokens


def _edges(reading: Reading) -> set[int]:
    """The first and the last token of the vocabulary's part on each tensor-parallel rank."""
    part = reading.vocab // reading.tp
    return {at + end for at in range(0, reading.vocab, part) for end in (0, part - 1)}


def _empty_sequences(readings: Sequence[Reading], blocks: int) -> set[int]:
    """Where sequences of separators only start: one microbatch of the last data rank in the first
    step, and one row of the first rank in the second."""
    reading, block = readings[0], block_of(readings)
    last_rank = (reading.dp - 1) * reading.microbatch
    positions = [*range(last_rank, last_rank + reading.microbatch)] if reading.dp > 1 else []
    positions.append(reading.global_batch)
    return {place(at * reading.seq_len, blocks, block, reading.seed) for at in positions}


def _write_text(tokens: list[int], folder: Path) -> None:
    """Three files of which the names sort unlike their folders; the reader ends each with a 0."""
    names = ("a.txt", "a/b.txt", "b.txt")
    ends = [i for i, token in enumerate(tokens) if token == 0]
    cuts = [ends[len(ends) // 3], ends[2 * len(ends) // 3], len(tokens) - 1]
    start = 0
    for name, cut in zip(names, cuts, strict=True):
        _write(folder / name, bytes(tokens[start:cut]))
        start = cut + 1


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
