"""A corpus made to be awkward: documents of every length, borders inside sequences, rows and
whole microbatches of one rank without a single target that counts, an epoch that ends midway."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.reference.data import place
from compiler.schema.train import Data, TextData, TokenData


@dataclass(frozen=True)
class Reading:
    """How a phase of the run reads: what decides which sequences meet in a microbatch."""

    seq_len: int
    vocab: int
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


def write_corpus(data: Data, readings: Sequence[Reading], folder: Path) -> None:
    """Files under `folder` in the format that `data` names."""
    reading = readings[0]
    separator = data.separator if isinstance(data, TokenData) else 0
    tokens = _tokens(readings, separator, 256 if isinstance(data, TextData) else reading.vocab)
    match data:
        case TextData():
            _write_text(tokens, folder)
        case TokenData():
            words = b"".join(token.to_bytes(4, "little") for token in tokens)
            middle = len(words) // 8 * 4
            _write(folder / "first.bin", words[:middle])
            _write(folder / "second.bin", words[middle:])


def _tokens(readings: Sequence[Reading], separator: int, values: int) -> list[int]:
    """A little less data than the steps read, so that the last one begins the second epoch."""
    draw = random.Random(20)
    *_, (last, position) = steps_of(readings)
    end = position + (last.global_batch - max(1, last.global_batch // 2)) * last.seq_len
    block, seq_len = block_of(readings), readings[0].seq_len
    blocks = max(1, end // block)
    empty = _empty_sequences(readings, blocks)
    ordinary = [token for token in range(values) if token != separator]
    tokens: list[int] = []
    for start in range(0, blocks * block, seq_len):
        often = 1.0 if start in empty else draw.choice((0.0, 0.05, 0.15, 0.4))
        tokens += [
            separator if draw.random() < often else draw.choice(ordinary) for _ in range(seq_len)
        ]
    return [*tokens, separator]


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
