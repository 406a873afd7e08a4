"""What a run reads: the form in which the program finds its tokens, where, and in which shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Literal, assert_never

from compiler.schema import PlanSpec
from compiler.schema.train import (
    Corpus,
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

Form = Literal["text", "tokens", "shards", "megatron"]
"""What the program has a reader for. All else is made into shards by `llamac prepare`."""

BYTE_SEPARATOR = 0
"""Ends a document of text that is read as bytes."""

SHARDS_FORMAT = "llamac shards 1"
"""What index.json calls itself in a folder that `llamac prepare` wrote."""

TOKEN_HEADERS: Mapping[bytes, tuple[str, str]] = {
    b"\x93NUMPY": (
        "an array saved by NumPy",
        'write bare tokens: `numpy.load("{file}").astype("<u4").tofile("tokens.bin")`',
    ),
    b"MMIDIDX\0": (
        "an index written by Megatron",
        "write `data = megatron {{ train = ..., separator = ... }}`",
    ),
    b"\x88\xd8\x34\x01\x01\0\0\0": (
        "a file of llm.c: 1,024 bytes of header, then uint16 tokens",
        "`tail -c +1025 {file} > tokens.bin` leaves the tokens; then write `dtype = uint16`",
    ),
    b"\xa1\xd9\x34\x01\x07\0\0\0": (
        "a file of llm.c: 1,024 bytes of header, then uint32 tokens",
        "`tail -c +1025 {file} > tokens.bin` leaves the tokens; then write `dtype = uint32`",
    ),
}
"""How files of tokens begin that others write: what they are, and what to do with {file}. llm.c's
magic numbers are 20240520 (version 1) and 20240801 (version 7)."""

MEGATRON_MAGIC = "MMIDIDX"
MEGATRON_HEAD = "<7s2xQBQQ"
"""How NAME.idx begins, for `struct`: magic, version, code of the dtype, number of sequences and of
documents. The length of every sequence (int32) and its address in NAME.bin (int64) follow, and the
first sequence of every document (int64)."""

MEGATRON_DTYPES: Mapping[int, Literal["uint16", "uint32"]] = {4: "uint32", 8: "uint16"}
"""Codes of int32, in which no token is negative, and uint16: what its preprocessing writes."""


@dataclass(frozen=True)
class Places:
    """Where the program reads. `prepared` is the folder that has to be prepared before, if one;
    a `train` of "" is given when the program starts."""

    train: str
    validation: str
    prepared: str | None = None


def form_of(data: Data) -> Form:
    match data:
        case TextData(tokenizer=None):
            return "text"
        case TokenData():
            return "tokens"
        case MegatronData():
            return "megatron"
        case ShardData():
            return "shards"
        case TextData() | JsonlData() | ParquetData() | HfData() | MixtureData():
            return "shards"
        case _:
            assert_never(data)


def needs_preparing(data: Data) -> bool:
    return form_of(data) == "shards" and not isinstance(data, ShardData)


def places_of(plan: str, spec: PlanSpec) -> Places:
    """Where the program of the plan called `plan` finds its data."""
    data = spec.train.data
    if isinstance(data, MixtureData) or needs_preparing(data):
        folder = spec.train.prepared or f"prepared/{plan}"
        return Places(f"{folder}/train", f"{folder}/validation", folder)
    return Places(data.train or "", data.validation or "")


def sources_of(data: Data) -> Mapping[str, Corpus]:
    """The corpora that make up the data, by name; a single one has the name ""."""
    match data:
        case MixtureData(source=sources):
            return {name: source.data for name, source in sources.items}
        case _:
            return {"": data}


def paths_of(data: Data) -> tuple[str, ...]:
    """Every path that the spec names, and the index of what may be a pair of files."""
    corpora = sources_of(data).values()
    named = [(c, path) for c in corpora for path in (c.train, c.validation) if path]
    indexes = [f"{path}.idx" for c, path in named if isinstance(c, MegatronData)]
    return (*(path for _, path in named), *indexes)


def shares_of(mixture: MixtureData) -> tuple[tuple[str, int], ...]:
    """(source, positions it takes in a round): the weights as the smallest whole numbers.

    A weight counts as the decimal it is written as: 0.7 is 7/10, not the nearest binary fraction.
    """
    weights = {name: Fraction(repr(source.weight)) for name, source in mixture.source.items}
    whole = lcm(*(weight.denominator for weight in weights.values()))
    counts = {name: int(weight * whole) for name, weight in weights.items()}
    common = gcd(*counts.values()) or 1
    return tuple((name, count // common) for name, count in counts.items())


def separator_of(corpus: Corpus) -> int | None:
    """The token that ends a document, as far as the spec alone tells."""
    match corpus:
        case TokenData(separator=separator) | MegatronData(separator=separator):
            return separator
        case ShardData():
            return None
        case TextData() | JsonlData() | ParquetData() | HfData():
            return BYTE_SEPARATOR if corpus.tokenizer is None else None
        case _:
            assert_never(corpus)
