"""Tokens: where they are, the order they are read in, and which rank reads which row.

A sequence is SEQ_LEN tokens and the token after them. Nothing but one integer, the
number of tokens read so far, is the state of the data.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from config import EVAL_SEQUENCES, GLOBAL_BATCH, MICROBATCH, MICROBATCHES, SEED, SEPARATOR, SEQ_LEN
from parallel import coordinate

IGNORE = -1  # target of a position that is not trained on
LASTING = FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError  # will not pass


class DataError(Exception):
    """The data cannot be used; starting the program again will not help."""


class Batch(NamedTuple):
    """One microbatch of this rank, each int64 [MICROBATCH, SEQ_LEN]."""

    tokens: Tensor
    targets: Tensor  # the next token, or IGNORE where that belongs to another document
    documents: Tensor  # attention stays within equal numbers


def hash63(*parts: object) -> int:
    """63 bits that depend on every part."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Corpus:
    """A text file, or every file of a folder: one token per byte; SEPARATOR ends a document."""

    def __init__(self, path: str) -> None:
        end = SEPARATOR.to_bytes()
        try:
            self.tokens = bytearray().join(file.read_bytes() + end for file in files_of(path))
        except LASTING as error:
            raise DataError(f"cannot read {error.filename!r}: {error.strerror}") from error
        self.sequences = (len(self.tokens) - 1) // SEQ_LEN
        if self.sequences < 1:
            raise DataError(f"{path!r} holds {len(self.tokens)} tokens, one sequence {SEQ_LEN + 1}")

    def read(self, first: int, last: int) -> Tensor:
        return torch.frombuffer(self.tokens[first:last], dtype=torch.uint8).long()

    def fingerprint(self) -> str:
        """What the data are, wherever they lie."""
        digest = hashlib.blake2b(self.tokens, digest_size=8)
        return f"{len(self.tokens):,} bytes, {digest.hexdigest()}"


def files_of(path: str) -> list[Path]:
    if not path:
        raise DataError("no data: --data names a file or a folder")
    if not os.path.isdir(path):
        return [Path(path)]

    def refuse(error: OSError) -> None:
        raise error  # a folder that cannot be listed is not passed over

    walk = os.walk(path, onerror=refuse, followlinks=True)
    found = [Path(folder, name) for folder, _, names in walk for name in names]
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


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


def place(corpus: Corpus, position: int) -> int:
    """Where in the corpus the tokens at `position` of the run stand. Its sequences are read
    in a new order each epoch."""
    epoch, sequence = divmod(position // SEQ_LEN, corpus.sequences)
    return shuffled(sequence, corpus.sequences, epoch) * SEQ_LEN


def make_batch(corpus: Corpus, starts: list[int | None], device: torch.device) -> Batch:
    """Read the sequences that start there; None is an empty one, all of it ignored."""
    empty = torch.full((SEQ_LEN + 1,), SEPARATOR)
    rows: list[Tensor] = []
    for start in starts:
        rows.append(empty if start is None else corpus.read(start, start + SEQ_LEN + 1))
    window = torch.stack(rows)
    tokens, following = window[:, :-1], window[:, 1:]
    ends = tokens == SEPARATOR
    targets = following.masked_fill(ends, IGNORE)
    documents = ends.long().cumsum(1) - ends.long()
    return Batch(tokens.to(device), targets.to(device), documents.to(device))


def rows_of(row: int) -> range:
    """This rank's rows of those that one microbatch of all ranks reads, the first of them `row`."""
    data_rank = coordinate("fsdp")
    first = row + data_rank * MICROBATCH
    return range(first, first + MICROBATCH)


def step_batches(corpus: Corpus, position: int, device: torch.device) -> list[Batch]:
    """This rank's microbatches of the step that starts at token `position` of the run."""
    batches: list[Batch] = []
    for i in range(MICROBATCHES):
        rows = rows_of(i * (GLOBAL_BATCH // MICROBATCHES))
        starts: list[int | None] = [place(corpus, position + row * SEQ_LEN) for row in rows]
        batches.append(make_batch(corpus, starts, device))
    return batches


def next_position(position: int) -> int:
    """Where the step begins that follows the one at `position`."""
    return position + GLOBAL_BATCH * SEQ_LEN


def evaluation_batches(corpus: Corpus, device: torch.device) -> list[Batch]:
    """This rank's part of the fixed validation sequences, spread evenly over the corpus."""
    count = min(EVAL_SEQUENCES, corpus.sequences)
    batches: list[Batch] = []
    for row in range(0, count, GLOBAL_BATCH // MICROBATCHES):
        rows = rows_of(row)
        starts = [i * corpus.sequences // count * SEQ_LEN if i < count else None for i in rows]
        batches.append(make_batch(corpus, starts, device))
    return batches
