"""Tokens in: where they lie, the order they are read in, which row goes to which rank.

A sequence is SEQ_LEN tokens and the token after them. Nothing but one integer, the number of
sequences read so far, is the state of the data.
"""

import hashlib
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from config import (
    GLOBAL_BATCH,
    MICROBATCH,
    MICROBATCHES,
    SEED,
    SEPARATOR,
    SEQ_LEN,
    VOCAB,
)
from parallel import coordinate

IGNORE = -1  # target of a position that is not trained on


class DataError(Exception):
    """The data cannot be used; starting the program again will not help."""


class Batch(NamedTuple):
    """One microbatch of this rank, each int64 [MICROBATCH, SEQ_LEN]."""

    tokens: Tensor
    targets: Tensor  # the next token, or IGNORE where that belongs to another document
    documents: Tensor  # attention stays within equal numbers


def hash63(*parts: object) -> int:
    """63 bits that depend on every part."""
    text = "/".join(map(str, parts))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Corpus:
    """Token files, little-endian uint32 each, read as one stream in the order of their names."""

    def __init__(self, path: str) -> None:
        self.parts: list[Tensor] = []
        self.starts: list[int] = []
        total = 0
        try:
            for file in files_of(path):
                n, rest = divmod(file.stat().st_size, 4)
                if rest:
                    raise DataError(f"{str(file)!r} is not a whole number of uint32 tokens")
                if n:
                    self.starts.append(total)
                    self.parts.append(torch.from_file(str(file), size=n, dtype=torch.int32))
                    total += n
        except OSError as error:
            raise DataError(f"cannot read {path!r}: {error.strerror}") from error
        self.sequences = count_sequences(path, total)

    def read(self, first: int, last: int) -> Tensor:
        i = bisect_right(self.starts, first) - 1
        pieces: list[Tensor] = []
        while i < len(self.parts) and self.starts[i] < last:
            start = self.starts[i]
            pieces.append(self.parts[i][max(first - start, 0) : last - start])
            i += 1
        tokens = torch.cat(pieces).long() & 0xFFFF_FFFF
        if int(tokens.max()) >= VOCAB:
            raise DataError(f"token {int(tokens.max())} is outside the vocabulary of {VOCAB}")
        return tokens


def files_of(path: str) -> list[Path]:
    if not path:
        raise DataError("no data: --data names a file or a folder")
    root = Path(path)
    if root.is_dir():
        found = [file for file in root.rglob("*") if file.is_file()]
        return sorted(found, key=lambda file: file.relative_to(root).as_posix())
    return [root]


def count_sequences(path: str, tokens: int) -> int:
    if tokens <= SEQ_LEN:
        raise DataError(f"{path!r} holds {tokens} tokens, and one sequence takes {SEQ_LEN + 1}")
    return (tokens - 1) // SEQ_LEN


def shuffled(index: int, n: int, epoch: int) -> int:
    """Where `index` goes in the epoch's permutation of 0 .. n-1: a Feistel network, walked until
    it lands below n. It needs no memory, so any position can be asked for at once."""
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            left, right = right, left ^ (hash63(SEED, "order", epoch, turn, right) & mask)
        index = left << half | right
        if index < n:
            return index


def make_batch(corpus: Corpus, sequences: list[int], device: torch.device) -> Batch:
    """Read the given sequences; one past the end of the corpus is empty, all of it ignored."""
    rows: list[Tensor] = []
    for sequence in sequences:
        if sequence < corpus.sequences:
            rows.append(corpus.read(sequence * SEQ_LEN, (sequence + 1) * SEQ_LEN + 1))
        else:
            rows.append(torch.full((SEQ_LEN + 1,), SEPARATOR))
    window = torch.stack(rows)
    tokens, following = window[:, :-1], window[:, 1:]
    ends = tokens == SEPARATOR
    targets = following.masked_fill(ends, IGNORE)
    documents = ends.long().cumsum(1) - ends.long()
    return Batch(tokens.to(device), targets.to(device), documents.to(device))


def data_rank() -> int:
    return coordinate("fsdp")


def rows_of(position: int) -> range:
    """This rank's positions among those that one microbatch of all ranks reads."""
    first = position + data_rank() * MICROBATCH
    return range(first, first + MICROBATCH)


def step_batches(corpus: Corpus, position: int, device: torch.device) -> list[Batch]:
    """This rank's microbatches of the step that starts at sequence `position` of the run."""
    batches: list[Batch] = []
    for i in range(MICROBATCHES):
        sequences: list[int] = []
        for row in rows_of(position + i * (GLOBAL_BATCH // MICROBATCHES)):
            epoch, index = divmod(row, corpus.sequences)
            sequences.append(shuffled(index, corpus.sequences, epoch))
        batches.append(make_batch(corpus, sequences, device))
    return batches
