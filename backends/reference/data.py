"""What each step reads: tokens of one or several sources, cut into sequences, in a keyed order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from backends.reference.weights import keyed
from compiler.schema.train import (
    HfData,
    JsonlData,
    MegatronData,
    MixtureData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
    TrainSpec,
)

TEXT_SEPARATOR = 0
WIDTHS = {"uint8": 1, "uint16": 2, "uint32": 4}
MEGATRON_WIDTHS = {4: 4, 8: 2}


@dataclass(frozen=True)
class Corpus:
    """Tokens [n] of every source, what each of them counts in the mixture, and how documents end.

    `packed` is False where a sequence is read as if it were one document.
    """

    sources: tuple[Tensor, ...]
    weights: tuple[Fraction, ...]
    separator: int
    packed: bool


@dataclass(frozen=True)
class Batch:
    """The sequences of one step, whatever rank reads them: all [sequences, seq_len].

    `counted` is False where the target belongs to the next document.
    """

    tokens: Tensor
    targets: Tensor
    counted: Tensor
    documents: Tensor


def read_corpus(train: TrainSpec, path: Path) -> Corpus:
    """All that lies in a file or folder of the format that `train.data` names."""
    data, packed = train.data, train.packing == "documents"
    match data:
        case TextData(tokenizer=None):
            raw = b"".join(file.read_bytes() + bytes([TEXT_SEPARATOR]) for file in _files(path))
            return Corpus((torch.tensor([*raw]),), (Fraction(1),), TEXT_SEPARATOR, packed)
        case TokenData(separator=separator, dtype=dtype):
            raw = b"".join(file.read_bytes() for file in _files(path))
            return Corpus((_integers(raw, WIDTHS[dtype]),), (Fraction(1),), separator, packed)
        case MegatronData(separator=separator):
            read = [_megatron(file) for file in _files(path) if file.suffix.lower() == ".idx"]
            return Corpus((torch.cat(read),), (Fraction(1),), separator, packed)
        case MixtureData(source=sources):
            weights = {name: Fraction(str(source.weight)) for name, source in sources.items}
            return _shards(path, weights, packed)
        case ShardData() | TextData() | JsonlData() | ParquetData() | HfData():
            return _shards(path, {"": Fraction(1)}, packed)


def _files(path: Path) -> list[Path]:
    """In the order of their relative path."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _integers(raw: bytes, width: int) -> Tensor:
    """Little-endian numbers without a sign."""
    words = [int.from_bytes(raw[i : i + width], "little") for i in range(0, len(raw), width)]
    return torch.tensor(words, dtype=torch.long)


def _megatron(index: Path) -> Tensor:
    """The tokens of a pair, sequence by sequence as the index lists them."""
    raw, tokens = index.read_bytes(), _beside(index).read_bytes()
    width = MEGATRON_WIDTHS[raw[17]]
    count = int.from_bytes(raw[18:26], "little")
    lengths = _integers(raw[34 : 34 + 4 * count], 4)
    addresses = _integers(raw[34 + 4 * count : 34 + 12 * count], 8)
    parts = [
        tokens[int(address) : int(address) + width * int(length)]
        for length, address in zip(lengths, addresses, strict=True)
    ]
    return _integers(b"".join(parts), width)


def _beside(index: Path) -> Path:
    return index.with_suffix(".bin" if index.suffix == ".idx" else ".BIN")


def _shards(path: Path, weights: dict[str, Fraction], packed: bool) -> Corpus:
    """A folder with an index.json; `weights` are in the order in which sources take turns."""
    index = json.loads((path / "index.json").read_text())
    raw = [_integers((path / s["file"]).read_bytes(), WIDTHS[s["dtype"]]) for s in index["shards"]]
    tokens = torch.cat(raw)
    ranges = [index["sources"][name] for name in weights]
    sources = tuple(tokens[first : first + count] for first, count in ranges)
    return Corpus(sources, tuple(weights.values()), index["separator"], packed)


def batch(corpus: Corpus, seed: int, seq_len: int, sequences: int, first: int, block: int) -> Batch:
    """Consecutive sequences of the endless shuffled reading, from its token `first` on: blocks of
    `block` tokens, of which the sources take turns, each in an order that is new each epoch."""
    end = first + sequences * seq_len
    order = turns(corpus.weights, end // block + 1)
    chosen: list[Tensor] = []
    for position in range(first, end, seq_len):
        source, had = order[position // block]
        tokens = corpus.sources[source]
        start = place(had * block + position % block, (len(tokens) - 1) // block, block, seed)
        chosen.append(tokens[start : start + seq_len + 1])
    return _read(corpus, chosen)


def place(position: int, blocks: int, block: int, seed: int) -> int:
    """Where in a source the token at `position` of its endless reading stands."""
    turn, within = divmod(position, block)
    epoch, index = divmod(turn, blocks)
    return shuffled(index, blocks, seed, epoch) * block + within


def evaluation_batch(corpus: Corpus, seq_len: int, sequences: int) -> Batch:
    """The fixed sequences of every evaluation: spread evenly over all sources as one row of
    tokens, all where there are fewer."""
    tokens = torch.cat(corpus.sources)
    total = (len(tokens) - 1) // seq_len
    count = min(sequences, total)
    starts = [i * total // count * seq_len for i in range(count)]
    return _read(corpus, [tokens[start : start + seq_len + 1] for start in starts])


def turns(weights: tuple[Fraction, ...], count: int) -> list[tuple[int, int]]:
    """The source of each of the first `count` positions, and how many it had before.

    The j-th turn of a source with share f must come at a position p with j / f < p + 1 and before
    (j + 1) / f: then no source is a whole turn ahead or behind. Taking the turn that must come
    first, and of equal ones that of the first source, always succeeds (Baruah et al., 1996).
    """
    shares = [weight / sum(weights) for weight in weights]
    had = [0] * len(shares)
    taken: list[tuple[int, int]] = []
    for position in range(count):
        latest = {
            source: -((had[source] + 1) / -share // 1)  # rounded up
            for source, share in enumerate(shares)
            if had[source] / share < position + 1
        }
        source = min(latest, key=lambda source: (latest[source], source))
        taken.append((source, had[source]))
        had[source] += 1
    return taken


def _read(corpus: Corpus, chosen: list[Tensor]) -> Batch:
    """Of sequences with one token more, which is only a target."""
    window = torch.stack(chosen)
    ends = (window == corpus.separator).long()  # a separator is the last token of its document
    document = ends.cumsum(1) - ends if corpus.packed else torch.zeros_like(window)
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
