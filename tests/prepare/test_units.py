"""The law of units: however small they are, no document is lost, repeated or torn at a border.

Random corpora in folders of several files, random sizes of units. What is expected is the plain
list of documents; nothing of the shards' borders is, except that they exist.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llamac
from llamac.prepare import documents
from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    Prepared,
    as_bytes,
    read,
    spec,
    texts,
    write_dataset,
    write_lines,
    write_parquet,
)

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
"""Byte 0 is refused where bytes are tokens, since it ends a document: see test_ends.py."""

DOCUMENTS = st.lists(TEXT, max_size=12)
FILES = st.lists(DOCUMENTS, min_size=1, max_size=4)
UNITS = st.integers(1, 120)
RAW = st.just(b"") | st.binary(max_size=60).map(lambda raw: b"x" + raw.replace(b"\0", b"zero"))
"""Any bytes but 0 that do not begin as a file of another kind does."""


@contextmanager
def folder() -> Generator[Path]:
    """An empty one; as in it nothing has to outlive the machine, nothing is flushed to the disk."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield Path(name)


def prepared(here: Path, data: str, unit: int, vocab: int = 256) -> Prepared:
    """Shards of `data`, in which {} stands for the folder `here`, in units of `unit` bytes."""
    (here / "run.llama").write_text(spec(data.replace("{}", str(here)), vocab))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "SMALLEST_UNIT", unit)
        made = llamac.prepare(here / "run.llama", folder=here / "out", processes=1)
    assert isinstance(made, tuple), made
    return read(here / "out" / "train")


@st.composite
def lines(draw: st.DrawFn, of: list[str]) -> bytes:
    """The documents as a file of JSON lines, with everything that may stand between lines."""
    raw = b""
    for document in of:
        escaped, end = draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n", " \n", "\n\n"]))
        keys = {"text": document, "more": draw(st.sampled_from(["", "text", "\n"]))}
        raw += (json.dumps(keys, ensure_ascii=escaped) + end).encode()
    return raw.rstrip() if draw(st.booleans()) else raw


@settings(max_examples=100)
@given(st.data(), FILES, UNITS)
def test_ranges_of_bytes(data: st.DataObject, files: list[list[str]], unit: int) -> None:
    files = [*files, ["the last one"]]  # since a corpus must not be empty
    with folder() as here:
        (here / "web").mkdir()
        for number, of in enumerate(files):
            raw, packed = data.draw(lines(of)), data.draw(st.booleans())
            name = f"{number}.jsonl.gz" if packed else f"{number}.jsonl"
            (here / "web" / name).write_bytes(gzip.compress(raw) if packed else raw)
        found = prepared(here, 'jsonl { train = "{}/web" }', unit)
    every = [document for of in files for document in of]
    assert found.tokens == as_bytes(every)
    assert found.index["documents"] == len(every)


@settings(max_examples=30)
@given(FILES, UNITS, st.integers(1, 5))
def test_row_groups(files: list[list[str]], unit: int, rows_of_group: int) -> None:
    files = [*files, ["the last one"]]
    with folder() as here:
        (here / "rows").mkdir()
        for number, of in enumerate(files):
            write_parquet(here / "rows" / f"{number}.parquet", of, rows_of_group)
        found = prepared(here, 'parquet { train = "{}/rows" }', unit)
    every = [document for of in files for document in of]
    assert found.tokens == as_bytes(every)
    assert found.index["documents"] == len(every)


@settings(max_examples=30)
@given(st.lists(RAW, min_size=1, max_size=9), UNITS)
def test_text_files(files: list[bytes], unit: int) -> None:
    """Within a mixture text may be bytes, valid or not: a token each."""
    with folder() as here:
        (here / "text").mkdir()
        for number, raw in enumerate(files):
            (here / "text" / f"{number}").write_bytes(raw)
        mixture = 'mixture { source code { data = text { train = "{}/text" }, weight = 1 } }'
        (here / "text" / "last").write_bytes(b"the last one")
        found = prepared(here, mixture, unit)
    assert found.tokens == [token for raw in (*files, b"the last one") for token in (*raw, 0)]
    assert found.index["documents"] == len(files) + 1


@settings(max_examples=30)
@given(FILES, st.integers(1, 4))
def test_saved_datasets(files: list[list[str]], rows_of_batch: int) -> None:
    files = [*files, ["the last one"]]
    with folder() as here:
        write_dataset(here / "set", files, rows_of_batch)
        found = prepared(here, 'hf { train = "{}/set" }', 1)
    assert found.tokens == as_bytes(document for of in files for document in of)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=20), min_size=1, max_size=5))
def test_files_of_tokens(files: list[list[int]]) -> None:
    with folder() as here:
        (here / "tokens").mkdir()
        for number, tokens in enumerate([*files, [1, 2]]):
            numpy.array(tokens, "<u4").tofile(here / "tokens" / f"{number}")
        source = 'tokens { train = "{}/tokens", separator = 7 }'
        mixture = f"mixture {{ source flat {{ data = {source}, weight = 1 }} }}"
        every = [token for of in (*files, [1, 2]) for token in of]
        found = prepared(here, mixture, 1, vocab=2**31)
    assert found.tokens == every
    assert found.index["documents"] == every.count(7)


def test_units_are_as_many_as_their_size_says() -> None:
    """So that the laws above are of borders, and not of a single unit."""
    documents_of = [f"document {number}" for number in range(40)]
    with folder() as here:
        write_lines(here / "web.jsonl", texts(documents_of))
        size = (here / "web.jsonl").stat().st_size
        by_bytes = prepared(here, 'jsonl { train = "{}/web.jsonl" }', 30)
        write_parquet(here / "rows.parquet", documents_of, rows_of_group=3)
        by_rows = prepared(here, 'parquet { train = "{}/rows.parquet" }', 1)
        (here / "text").mkdir()
        for number in range(7):
            (here / "text" / f"{number}").write_bytes(bytes([number + 1]) * 40)
        code = 'mixture { source code { data = text { train = "{}/text" }, weight = 1 } }'
        by_files = prepared(here, code, 100)
    assert len(by_bytes.shards) == -(-size // 30) > 20
    assert [shard.count(0) for shard in by_rows.shards] == [3] * 13 + [1]
    assert [shard.count(0) for shard in by_files.shards] == [2, 2, 2, 1]


def test_units_of_a_mebibyte_hold_a_corpus_of_a_few(prepare: Prepare) -> None:
    """Of their usual sizes: a power of two, a 64th of the corpus, a MiB at least."""
    write_lines(Path("web.jsonl"), texts(["x" * 1_000_000] * 3))
    assert prepare('jsonl { train = "web.jsonl" }').exit_code == 0
    found = read(Path("prepared/main/train"))
    # Of ranges of 1,048,576 bytes; lines of 1,000,013 begin in the first (two), second and none.
    assert [len(shard) for shard in found.shards] == [2_000_002, 1_000_001, 0]


def test_empty_row_groups_and_files_are_no_documents(prepare: Prepare) -> None:
    Path("rows").mkdir()
    schema = pa.schema([("text", pa.string())])
    with pyarrow.parquet.ParquetWriter("rows/a.parquet", schema) as writer:
        for rows in ([], ["one"], [], ["two", "three"], []):
            writer.write_table(pa.table({"text": pa.array(rows, pa.string())}))
    write_parquet(Path("rows/b.parquet"), [])
    assert prepare('parquet { train = "rows" }').exit_code == 0
    assert read(Path("prepared/main/train")).tokens == as_bytes(["one", "two", "three"])
