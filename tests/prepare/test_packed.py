"""Compressed files and folders of several kinds that cannot be read: nothing is passed over."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    COMPRESS,
    END,
    small_tokenizer,
    texts,
    write_lines,
)
from tests.prepare.refusing import GOOD, JSONL, cut_off, said

NAMES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "Zstandard", "lz4": "LZ4"}


@pytest.mark.parametrize("end", [0, 1, 12, 200, -9, -1])
def test_packed_lines_that_were_cut_off(prepare: Prepare, end: int) -> None:
    """As a download leaves them; at no place is what remains taken for the whole."""
    words = [f"word {number} {number**5}" for number in range(400)]
    write_lines(Path("web.jsonl.gz"), texts(words))
    cut_off(Path("web.jsonl.gz"), end)
    message = said(prepare, 'jsonl { train = "web.jsonl.gz" }')
    assert "`web.jsonl.gz` cannot be used" in message
    assert "not a whole gzip file: " in message


@pytest.mark.parametrize(
    "spoilt",
    [lambda raw: b"{}" + raw, lambda raw: raw + b"more", lambda raw: raw[:60] + b"?" + raw[61:]],
    ids=["before", "after", "inside"],
)
def test_packed_lines_that_are_damaged(prepare: Prepare, spoilt: Callable[[bytes], bytes]) -> None:
    packed = gzip.compress(b"".join(b'{"text": "%d"}\n' % number**9 for number in range(99)))
    Path("web.jsonl.gz").write_bytes(spoilt(packed))
    assert "`web.jsonl.gz" in said(prepare, 'jsonl { train = "web.jsonl.gz" }')


@pytest.mark.parametrize("name", ["web.jsonl.bz2", "web.jsonl.xz", "web.json.zst", "web.lz4"])
@pytest.mark.parametrize("spoilt", ["empty", "cut", "other"])
def test_compressed_lines_of_every_kind_that_are_damaged(
    prepare: Prepare, name: str, spoilt: str
) -> None:
    lines = b"".join(b'{"text": "%d"}\n' % number**9 for number in range(999))
    end = name.rpartition(".")[2]
    raw = COMPRESS[end](lines)
    Path(name).write_bytes({"empty": b"", "cut": raw[:-9], "other": b"{}\n" + raw}[spoilt])
    message = said(prepare, f'jsonl {{ train = "{name}" }}')
    assert f"`{name}` cannot be used" in message
    assert f"^ not a whole {NAMES[end]} file: " in message


@pytest.mark.parametrize("packed", COMPRESS)
def test_compressed_lines_that_their_name_does_not_tell(prepare: Prepare, packed: str) -> None:
    """A file of JSON lines, a file whose content was compressed twice, and a text."""
    raw = COMPRESS[packed](GOOD * 9)
    Path("web.jsonl").write_bytes(raw)
    Path("web.jsonl.gz").write_bytes(gzip.compress(raw))
    Path("text").write_bytes(raw)
    small_tokenizer(Path("tokenizer.json"))
    text = f'text {{ train = "text", tokenizer = "tokenizer.json", separator = "{END}" }}'
    for data in (JSONL, JSONL.replace("web.jsonl", "web.jsonl.gz"), text):
        message = said(prepare, data)
        assert re.search(rf"\^ an? {NAMES[packed]} file, not ", message)


@pytest.mark.parametrize(
    ("form", "read", "other"),
    [
        ("jsonl", "a.jsonl", "B.PARQUET"),
        ("jsonl", "a.jsonl", "b.csv"),
        ("jsonl", "a.jsonl", "inner/b.jsonl.br"),
        ("jsonl", "a.jsonl", "b.tar.gz"),
        ("jsonl", "a.jsonl", "b.zip"),
        ("parquet", "a.parquet", "b.jsonl"),
        ("parquet", "a.parquet", "b.ndjson.ZST"),
    ],
)
def test_data_of_two_formats_in_a_folder(
    prepare: Prepare, form: str, read: str, other: str
) -> None:
    Path("web/inner").mkdir(parents=True)
    Path("web", read).write_bytes(GOOD)
    Path("web", other).write_bytes(GOOD)
    message = said(prepare, f'{form} {{ train = "web" }}')
    assert f"error[unusable-data]: `web/{other}` cannot be used" in message
    assert f"its name is not that of a file that `{form}` reads" in message


@pytest.mark.parametrize(
    "text", [b'[{"text": "a"},\n {"text": "b"}]', b'{\n "text": "a"\n}', b'[\n{"text": "a"}]']
)
def test_a_json_document_is_not_json_lines(prepare: Prepare, text: bytes) -> None:
    Path("web.json").write_bytes(text)
    message = said(prepare, 'jsonl { train = "web.json" }')
    assert "`web.json:1` cannot be used" in message
    assert "= help: one object per line is read: `jq -c '.[]'` makes such lines" in message
