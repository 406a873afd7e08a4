"""What each step reads: the corpus as one row of tokens, cut into sequences, in a keyed order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backends.reference.weights import keyed
from compiler.schema.train import Data, TextData, TokenData

TEXT_SEPARATOR = 0


@dataclass(frozen=True)
class Batch:
    """The sequences of one step, whatever rank reads them: all [sequences, seq_len].

    `counted` is False where the target belongs to the next document.
    """

    tokens: Tensor
    targets: Tensor
    counted: Tensor
    documents: Tensor


def read_corpus(data: Data, path: Path) -> Tensor:
    """All tokens [n], files in the order of their relative path."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    files.sort(key=lambda file: file.relative_to(path).as_posix())
    contents = [file.read_bytes() for file in files]
    match data:
        case TextData():
            raw = b"".join(content + bytes([TEXT_SEPARATOR]) for content in contents)
            return torch.tensor(list(raw), dtype=torch.long)
        case TokenData():
            raw = b"".join(contents)
            words = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
            return torch.tensor(words, dtype=torch.long)


def batch(
    corpus: Tensor, data: Data, seed: int, seq_len: int, sequences: int, first: int, block: int
) -> Batch:
    """Consecutive sequences of the endless shuffled reading, from its token `first` on: blocks of
    `block` tokens, whose order is new each epoch."""
    blocks = (len(corpus) - 1) // block
    starts = [
        place(position, blocks, block, seed)
        for position in range(first, first + sequences * seq_len, seq_len)
    ]
    return _read(corpus, data, seq_len, starts)


def place(position: int, blocks: int, block: int, seed: int) -> int:
    """Where in the corpus the token at `position` of the endless reading stands."""
    turn, within = divmod(position, block)
    epoch, index = divmod(turn, blocks)
    return shuffled(index, blocks, seed, epoch) * block + within


def evaluation_batch(corpus: Tensor, data: Data, seq_len: int, sequences: int) -> Batch:
    """The fixed sequences of every evaluation: spread evenly, all where there are fewer."""
    total = (len(corpus) - 1) // seq_len
    count = min(sequences, total)
    return _read(corpus, data, seq_len, [i * total // count * seq_len for i in range(count)])


def _read(corpus: Tensor, data: Data, seq_len: int, starts: list[int]) -> Batch:
    """A sequence is seq_len tokens from its start, and one more that is only a target."""
    separator = data.separator if isinstance(data, TokenData) else TEXT_SEPARATOR
    window = torch.stack([corpus[start : start + seq_len + 1] for start in starts])
    ends = (window == separator).long()  # a separator is the last token of its document
    document = ends.cumsum(1) - ends
    return Batch(
        tokens=window[:, :-1],
        targets=window[:, 1:],
        counted=document[:, :-1] == document[:, 1:],
        documents=document[:, :-1],
    )


def shuffled(place: int, total: int, seed: int, epoch: int) -> int:
    """A keyed permutation of range(total): four Feistel rounds over the next even power of two,
    walked until inside the range (Black and Rogaway, 2002)."""
    half = 1
    while 4**half < total:
        half += 1
    value = place
    while True:
        high, low = divmod(value, 2**half)
        for r in range(4):
            high, low = low, high ^ (keyed(seed, "order", epoch, r, low) % 2**half)
        value = high * 2**half + low
        if value < total:
            return value
