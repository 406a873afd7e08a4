"""Columns that hold no text, and files of columns that are damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    write_dataset,
    write_lines,
    write_parquet,
)
from tests.prepare.refusing import JSONL, TRAIN, place, said


def not_utf8() -> pa.Array:
    """A column of text whose second row is not."""
    ends = struct.pack("<4i", 0, 1, 3, 4)
    return pa.StringArray.from_buffers(3, pa.py_buffer(ends), pa.py_buffer(b"a\xff\xfeb"))


ROWS = [
    (pa.array(["a", None, "b"]), ":row 2`", "`text` is null, not text"),
    (pa.array(["a", None]).dictionary_encode(), ":row 2`", "`text` is null, not text"),
    (
        pa.array([b"a", b"caf\xe9"]),
        ":row 2`",
        "not UTF-8: byte 0xe9 at offset 3 of a column",
    ),
    (pa.array([1, 2]), "`", "the column `text` is of type int64, not text"),
    (pa.array([[1, 2]]), "`", "the column `text` is of type list<"),
    (pa.array([["a"]]), "`", "the column `text` is of type list<"),
    (pa.array([{"n": 1}]), "`", "the column `text` is of type struct<n: int64>, not text"),
    (pa.array([None, None]), "`", "the column `text` is of type null, not text"),
    (not_utf8(), ":after row 0`", "text that is not UTF-8: byte 0xff"),
]


@pytest.mark.parametrize(("column", "place", "why"), ROWS)
@pytest.mark.parametrize("form", ["parquet", "hf"])
def test_a_row_is_named(
    prepare: Prepare, form: str, column: pa.Array, place: str, why: str
) -> None:
    table = pa.table({"text": column})
    if form == "parquet":
        pyarrow.parquet.write_table(table, "rows")
    else:
        write_dataset(Path("rows"), [["replaced"]])
        with pa.ipc.new_stream("rows/data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
    message = said(prepare, f'{form} {{ train = "rows" }}')
    assert f"{place} cannot be used" in message
    assert f"^ {why}" in message


def test_the_row_is_that_of_the_file_not_of_the_row_group(
    prepare: Prepare, unit_of: Callable[[int], None]
) -> None:
    unit_of(1)
    column = pa.array([*map(str, range(30)), None, "b"])
    pyarrow.parquet.write_table(pa.table({"text": column}), "rows", row_group_size=4)
    assert "`rows:row 31` cannot be used" in said(prepare, 'parquet { train = "rows" }')


def test_no_such_column(prepare: Prepare) -> None:
    write_parquet(Path("rows.parquet"), ["a"])
    write_dataset(Path("set"), [["a"]])
    message = said(prepare, 'parquet { train = "rows.parquet", text = "body" }')
    assert "^ no column `body`; there are: number, text" in message
    message = said(prepare, 'hf { train = "set", text = "body" }')
    assert "`set/data-00000-of-00001.arrow` cannot be used" in message
    assert "^ no column `body`; there are: text" in message


def test_the_column_that_may_be_meant(prepare: Prepare) -> None:
    """By another case, inside a struct, or the only one that holds text; the same in JSON lines."""
    for columns, wanted in (
        ({"Text": ["a"], "n": ["b"]}, "Text"),
        ({"text": [{"text": "a", "n": 1}]}, "text.text"),
        ({"body": ["a"], "n": [1]}, "body"),
    ):
        pyarrow.parquet.write_table(pa.table(columns), "rows.parquet")
        message = said(prepare, 'parquet { train = "rows.parquet" }')
        assert f'= help: write `text = "{wanted}"`' in message
        fixed = f'parquet {{ train = "rows.parquet", text = "{wanted}" }}'
        assert prepare(fixed).exit_code == 0
        (TRAIN / "index.json").unlink()
    write_lines(Path("web.jsonl"), [{"Text": "a", "n": "b"}])
    assert '= help: write `text = "Text"`' in said(prepare, JSONL)


@pytest.mark.parametrize("damage", ["empty", "half", "page", "foot", "other"])
def test_damaged_parquet(prepare: Prepare, damage: str) -> None:
    write_parquet(Path("rows.parquet"), [f"{number**9}" for number in range(2000)])
    raw = Path("rows.parquet").read_bytes()
    spoilt = {
        "empty": b"",
        "half": raw[: len(raw) // 2],
        "page": raw[:4] + b"\xff" * 9000 + raw[9004:],
        "foot": raw[:-100] + bytes(92) + raw[-8:],
        "other": b"PAR1 and then something else" * 9,
    }
    Path("rows.parquet").write_bytes(spoilt[damage])
    data = 'parquet { train = "rows.parquet" }'
    message = said(prepare, data)
    assert "`rows.parquet` cannot be used" in message
    assert place(data) in message
