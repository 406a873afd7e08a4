"""Whether a file of tokens looks like what its fields say: a sample of it, read in several ways."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from compiler.data import TOKEN_HEADERS
from compiler.schema import PlanSpec
from compiler.schema.train import MegatronData, TokenData
from dsl.diagnostics import Problem
from dsl.source import Span
from llamac.prepare.encoding import WIDTHS, Dtype
from llamac.prepare.unit import WrongData
from llamac.problems import data as problems

SAMPLE_BYTES = 2**20

FEWEST = 32
"""Tokens from which on a pattern among them is no chance."""

READINGS = (
    ("int64", "<", 8),
    ("uint32", "<", 4),
    ("big-endian uint32", ">", 4),
    ("uint16", "<", 2),
    ("big-endian uint16", ">", 2),
)
"""How files of tokens are written: a name, the order of the bytes, the width in bytes. The wider
come first, since more has to be 0 for them to fit."""

CODES = {2: "H", 4: "I", 8: "Q"}
"""Width in bytes -> typecode of `array`."""


def look_at_tokens(
    file: Path,
    dtype: Dtype,
    corpus: TokenData | MegatronData,
    spec: PlanSpec,
    span: Span | None,
    written: bool,
    vocab_span: Span | None,
) -> Iterator[Problem]:
    """Doubts about a file. `written`: the spec itself names the separator.

    Raises WrongData where the file is surely of another form, OSError where it cannot be read.
    """
    sample, last = _sample(file)
    if isinstance(corpus, TokenData):
        refuse_another_form(file, sample, dtype, spec.model.vocab)
    tokens, ends = read_as(sample, WIDTHS[dtype]), read_as(last, WIDTHS[dtype])
    if not tokens or not ends:
        return
    if max(tokens) >= spec.model.vocab:
        yield problems.TokenizerTooLarge(
            span=span, largest=max(tokens), vocab=spec.model.vocab, vocab_span=vocab_span
        )
    if len(tokens) >= FEWEST and any(tokens) and not any(tokens[1::2]):
        yield problems.DoubtfulWidth(
            span=span, file=f"{file}", dtype=dtype, help=_twice_as_wide(file, dtype)
        )
        return
    count, separator = tokens.count(corpus.separator), corpus.separator
    if spec.train.packing == "documents" and ends[-1] != separator and not (written and count):
        yield problems.DoubtfulSeparator(
            span=span,
            file=f"{file}",
            separator=separator,
            count=count,
            sampled=len(tokens),
            last=ends[-1],
            last_count=tokens.count(ends[-1]),
            narrower=isinstance(corpus, TokenData) and dtype == "uint32" and not count,
        )


def refuse_another_form(file: Path, sample: bytes, dtype: Dtype, vocab: int) -> None:
    """Raises WrongData for a file that begins with no tokens, or with tokens of another dtype."""
    for start, (kind, help) in TOKEN_HEADERS.items():
        if sample.startswith(start):
            why = f"{kind}; only bare {dtype} tokens are read"
            raise WrongData(file, "", why, help.format(file=file))
    hint = reading_hint(file, sample, dtype, vocab)
    if file.stat().st_size % WIDTHS[dtype]:
        raise WrongData(file, "", f"not a whole number of {dtype} tokens", hint)
    tokens = read_as(sample, WIDTHS[dtype])
    largest = max(tokens, default=0)
    if hint and largest >= vocab:
        at = tokens.index(largest)
        why = f"token {at:,} is {largest:,}, and the vocabulary has {vocab:,}"
        raise WrongData(file, "", why, hint)


def reading_hint(file: Path, sample: bytes, dtype: Dtype, vocab: int) -> str:
    """How to read the file instead, if the vocabulary needs that width, and holds every token of
    the sample then. Empty where no other reading fits."""
    for name, order, width in READINGS:
        largest = max(read_as(sample, width, order), default=vocab)
        if name == dtype or largest >= vocab or vocab > 256**width:
            continue
        found = f"read as {name} the largest token is {largest:,}"
        if name in WIDTHS:
            return f"{found}: write `dtype = {name}`"
        return f"{found}: {_convert(file, f'{order}u{width}', dtype)}"
    return ""


def read_as(raw: bytes, width: int, order: str = "<") -> array[int]:
    """Numbers without a sign; a part of one at the end is left out."""
    tokens: array[int] = array(CODES[width])
    tokens.frombytes(raw[: len(raw) // width * width])
    if (order == "<") != (sys.byteorder == "little"):
        tokens.byteswap()
    return tokens


def _convert(file: Path, found: str, dtype: Dtype) -> str:
    wanted = f"<u{WIDTHS[dtype]}"
    return f'`numpy.fromfile("{file}", "{found}").astype("{wanted}").tofile("tokens.bin")`'


def _twice_as_wide(file: Path, dtype: Dtype) -> str:
    return "write `dtype = uint32`" if dtype == "uint16" else _convert(file, "<u8", dtype)


def _sample(file: Path) -> tuple[bytes, bytes]:
    """The first bytes of a file, and the last few."""
    with file.open("rb") as opened:
        sample = opened.read(SAMPLE_BYTES)
        opened.seek(max(0, opened.seek(0, os.SEEK_END) - 8))
        return sample, opened.read()
