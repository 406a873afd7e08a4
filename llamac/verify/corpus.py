"""A corpus made to be awkward: documents of every length, borders inside sequences, rows and
whole microbatches of one rank without a single target that counts, an epoch that ends midway."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from backends.reference.data import shuffled
from compiler.schema.train import Data, TextData, TokenData


@dataclass(frozen=True)
class Reading:
    """How the run reads: what decides which sequences meet in a microbatch."""

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


def write_corpus(data: Data, reading: Reading, folder: Path) -> None:
    """Files under `folder` in the format that `data` names."""
    separator = data.separator if isinstance(data, TokenData) else 0
    tokens = _tokens(reading, separator, 256 if isinstance(data, TextData) else reading.vocab)
    match data:
        case TextData():
            _write_text(tokens, folder)
        case TokenData():
            words = b"".join(token.to_bytes(4, "little") for token in tokens)
            middle = len(words) // 8 * 4
            _write(folder / "first.bin", words[:middle])
            _write(folder / "second.bin", words[middle:])


def _tokens(reading: Reading, separator: int, values: int) -> list[int]:
    """A little less data than the steps read, so that the last one begins the second epoch."""
    draw = random.Random(20)
    batch, seq_len = reading.global_batch, reading.seq_len
    total = batch * reading.steps - max(1, batch // 2)
    empty = _empty_sequences(reading, total)
    ordinary = [token for token in range(values) if token != separator]
    tokens: list[int] = []
    for sequence in range(total):
        often = 1.0 if sequence in empty else draw.choice((0.0, 0.05, 0.15, 0.4))
        tokens += [
            separator if draw.random() < often else draw.choice(ordinary) for _ in range(seq_len)
        ]
    return [*tokens, separator]


def _empty_sequences(reading: Reading, total: int) -> set[int]:
    """Sequences of separators only: one microbatch of the last data rank in the first step, and
    one row of the first rank in the second."""
    last_rank = (reading.dp - 1) * reading.microbatch
    positions = [*range(last_rank, last_rank + reading.microbatch)] if reading.dp > 1 else []
    positions.append(reading.global_batch)
    return {shuffled(position, total, reading.seed, 0) for position in positions}


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
