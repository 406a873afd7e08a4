"""Tokens: where they are, the order they are read in, and which rank reads which row.

A sequence is a phase's seq_len tokens and the token after them. Nothing but one integer, the
number of tokens read so far, is the state of the data.
"""

import hashlib
import mmap
import os
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from config import BLOCK, PHASES, SEED, SEPARATOR, TOKEN_DTYPE, VOCAB
from parallel import coordinate, log

IGNORE = -1  # target of a position that is not trained on
LASTING = FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError  # will not pass


class DataError(Exception):
    """The data cannot be used; starting the program again will not help."""


class Batch(NamedTuple):
    """One microbatch of this rank, each int64 [batch, seq]."""

    tokens: Tensor
    targets: Tensor  # the next token, or IGNORE where that belongs to another document
    documents: Tensor  # attention stays within equal numbers


class Phase(NamedTuple):
    """A stretch of the run with batches of one shape: a row of PHASES."""

    name: str
    end: int  # tokens of the run when it is done
    seq_len: int  # tokens
    global_batch: int  # sequences per step
    microbatch: int  # sequences per forward
    microbatches: int  # forwards per step of a rank
    flops: float  # per token, forward and backward


LAST = Phase(*PHASES[-1])


def phase_at(position: int) -> Phase:
    """The phase that reads the tokens at `position` of the run."""
    return next((phase for phase in map(Phase._make, PHASES) if position < phase.end), LAST)


def hash63(*parts: object) -> int:
    """63 bits that depend on every part."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class TokenFile(NamedTuple):
    """`tokens` numbers of type `dtype`, and nothing else."""

    path: Path
    dtype: torch.dtype
    tokens: int


@lru_cache(maxsize=250)  # one descriptor each
def map_file(file: TokenFile) -> mmap.mmap:
    """Its bytes, mapped into memory when they are first needed."""
    if file.path.stat().st_size != file.tokens * file.dtype.itemsize:
        raise DataError(f"{str(file.path)!r} does not hold {file.tokens:,} tokens: it was changed")
    with file.path.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


class Corpus:
    """Files of tokens, read as one stream."""

    def __init__(self, path: str) -> None:
        try:
            self.files = [token_file(file) for file in files_of(path)]
        except LASTING as error:
            raise DataError(f"cannot read {error.filename!r}: {error.strerror}") from error
        self.starts = [0, *accumulate(file.tokens for file in self.files)]
        self.blocks = (self.starts[-1] - 1) // BLOCK
        if self.blocks < 1:
            raise DataError(f"{path!r} holds {self.starts[-1]} tokens, a block takes {BLOCK + 1}")

        if int(self.read(self.starts[-1] - 1, self.starts[-1])) != SEPARATOR:
            log.warning("%r does not end with token %d: is `separator` right?", path, SEPARATOR)

    def read(self, first: int, last: int) -> Tensor:
        """Tokens `first` to `last - 1` of the stream."""
        pieces: list[Tensor] = []
        while first < last:
            i = bisect_right(self.starts, first) - 1
            file, offset = self.files[i], first - self.starts[i]
            width = file.dtype.itemsize
            try:
                raw = map_file(file)[offset * width : (offset + last - first) * width]
            except LASTING as error:
                raise DataError(f"cannot read {error.filename!r}: {error.strerror}") from error
            piece = torch.frombuffer(bytearray(raw), dtype=file.dtype).long()
            if (token := int(piece.max())) >= VOCAB:
                place = f"{str(file.path)!r}: token {offset + int(piece.argmax()):,}"
                place = f"{place}, read as {TOKEN_DTYPE},"
                raise DataError(f"{place} is {token}, outside a vocabulary of {VOCAB}")
            pieces.append(piece)
            first += len(piece)
        return torch.cat(pieces)

    def fingerprint(self) -> str:
        """What the data are, wherever they lie: sizes of the files, and how each begins."""
        spans = [(a, min(b, a + 1024)) for a, b in pairwise(self.starts) if a < b]
        seen = hash63(self.starts, [hash63(self.read(*span).tolist()) for span in spans])
        return f"{self.starts[-1]:,} tokens in {len(self.files)} files, {seen:016x}"


def token_file(path: Path) -> TokenFile:
    """Little-endian tokens of TOKEN_DTYPE, and nothing else."""
    dtype: torch.dtype = getattr(torch, TOKEN_DTYPE)
    tokens, rest = divmod(path.stat().st_size, dtype.itemsize)
    if rest:
        raise DataError(f"{str(path)!r} is not a whole number of {TOKEN_DTYPE} tokens")
    return TokenFile(path, dtype, tokens)


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
    """Where in the corpus the tokens at `position` of the run stand. Its blocks, each of whole
    sequences in every phase, are read in a new order each epoch."""
    epoch, block = divmod(position // BLOCK, corpus.blocks)
    return shuffled(block, corpus.blocks, epoch) * BLOCK + position % BLOCK


def make_batch(corpus: Corpus, starts: list[int], seq_len: int, device: torch.device) -> Batch:
    """Read the sequences that start there."""
    window = torch.stack([corpus.read(start, start + seq_len + 1) for start in starts])
    tokens, following = window[:, :-1], window[:, 1:]
    ends = tokens == SEPARATOR
    targets = following.masked_fill(ends, IGNORE)
    documents = ends.long().cumsum(1) - ends.long()
    return Batch(tokens.to(device), targets.to(device), documents.to(device))


def rows_of(row: int, phase: Phase) -> range:
    """This rank's rows of those that one microbatch of all ranks reads, the first of them `row`."""
    data_rank = coordinate("fsdp")
    first = row + data_rank * phase.microbatch
    return range(first, first + phase.microbatch)


def step_batches(corpus: Corpus, position: int, device: torch.device) -> list[Batch]:
    """This rank's microbatches of the step that starts at token `position` of the run."""
    phase = phase_at(position)
    batches: list[Batch] = []
    for i in range(phase.microbatches):
        rows = rows_of(i * (phase.global_batch // phase.microbatches), phase)
        starts = [place(corpus, position + row * phase.seq_len) for row in rows]
        batches.append(make_batch(corpus, starts, phase.seq_len, device))
    return batches


def next_position(position: int) -> int:
    """Where the step begins that follows the one at `position`."""
    phase = phase_at(position)
    end = position + phase.global_batch * phase.seq_len
    seq_len = phase_at(end).seq_len
    return -(-end // seq_len) * seq_len  # a phase starts with a whole sequence of its own
