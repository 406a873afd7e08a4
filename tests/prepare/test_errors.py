"""Data that cannot be used: the error names the file, the line and why, at its row of the spec.

The exit code is 1, that of a spec with errors, and no error is a traceback.
"""

from __future__ import annotations

import gzip
import os
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from tokenizers import Tokenizer, models

from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    COMPRESS,
    END,
    read,
    small_tokenizer,
    texts,
    write_dataset,
    write_lines,
    write_pair,
    write_parquet,
)

TRAIN = Path("prepared/main/train")
JSONL = 'jsonl { train = "web.jsonl" }'
TOKENIZED = f'jsonl {{ train = "web.jsonl", tokenizer = "tokenizer.json", separator = "{END}" }}'
GOOD = b'{"text": "good"}\n'
NAMES = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "Zstandard", "lz4": "LZ4"}


def said(prepare: Prepare, data: str, *arguments: str, vocab: int = 512) -> str:
    """What is said of data that cannot be used."""
    result = prepare(data, *arguments, vocab=vocab)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not (TRAIN / "index.json").exists()
    return result.stderr


def place(data: str, row: str = "train") -> str:
    """Where the value of `row` stands in the spec, whose line 13 has the data."""
    column = len("  data = ") + data.index(f"{row} = ") + len(f"{row} = ") + 1
    return f"--> run.llama:13:{column}\n"


@dataclass(frozen=True)
class Case:
    """A line of a file after two that are good, and what is said of it."""

    name: str
    line: bytes
    why: str


LINES = [
    Case("not UTF-8", b'{"text": "caf\xe9"}', "not UTF-8: byte 0xe9 at column 14"),
    Case("not JSON", b'{"text": }', "not JSON: Expecting value at column 10"),
    Case("cut", b'{"text": "abc', "not JSON: Unterminated string starting at column 10"),
    Case("two", b'{"text": "a"}{"text": "b"}', "not JSON: Extra data at column 14"),
    Case("no field", b'{"title": "a", "body": "b"}', "no field `text`; there are: title, body"),
    Case("nothing", b"{}", "no field `text`; there are: none"),
    Case("a number", b'{"text": 3.5}', "`text` is a number, not text"),
    Case("null", b'{"text": null}', "`text` is null, not text"),
    Case("a boolean", b'{"text": true}', "`text` is a boolean, not text"),
    Case("an array", b'{"text": ["a"]}', "`text` is an array, not text"),
    Case("an object", b'{"text": {}}', "`text` is an object, not text"),
    Case("no object", b'["text"]', "expected an object, found an array"),
    Case("a string", b'"text"', "expected an object, found a string"),
    Case("half", rb'{"text": "a\ud83d"}', r"`text` holds half of a surrogate pair, \ud83d"),
    Case("deep", b'{"text": ' + b"[" * 10**5, "nested too deeply"),
    Case("a long number", b'{"text": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    Case("names that break lines", rb'{"a\nb": 1, "\ud83d": 2}', r"there are: 'a\nb', '\ud83d'"),
]


@pytest.mark.parametrize("case", LINES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", ["web.jsonl", "web.jsonl.gz"])
def test_a_line_is_named(prepare: Prepare, name: str, case: Case) -> None:
    raw = GOOD * 2 + case.line + b"\n" + GOOD
    Path(name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    data = f'jsonl {{ train = "{name}" }}'
    message = said(prepare, data)
    assert f"error[unusable-data]: `{name}:3` cannot be used\n" in message
    assert place(data) in message
    assert f" {case.why}" in message
    assert max(map(len, message.splitlines())) < 300


def test_the_line_is_that_of_the_file_not_of_the_unit(
    prepare: Prepare, unit_of: Callable[[int], None]
) -> None:
    unit_of(64)
    Path("web.jsonl").write_bytes(GOOD * 50 + b"{}\n" + GOOD * 50)
    assert "`web.jsonl:51` cannot be used" in said(prepare, JSONL)


def test_an_error_as_it_is_drawn(prepare: Prepare) -> None:
    names = {f"name{number}": 1 for number in range(10_000)}
    write_lines(Path("web.jsonl"), [*texts(["a", "b"]), {"x" * 1000: 1, **names}])
    assert said(prepare, JSONL) == (
        f"""\
train: preparing 0.1 MiB
error[unusable-data]: `web.jsonl:3` cannot be used
  --> run.llama:13:26
   |
13 |   data = jsonl {{ train = "web.jsonl" }}
   |                          ^^^^^^^^^^^ no field `text`; there are: {"x" * 40}..., name0, name1, \
name2, name3, name4, and 9,995 more
"""
    )


def cut_off(path: Path, end: int) -> None:
    path.write_bytes(path.read_bytes()[:end])


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


def test_text_with_a_tokenizer_is_utf8(prepare: Prepare) -> None:
    small_tokenizer(Path("tokenizer.json"))
    Path("text").mkdir()
    Path("text/a").write_text("fine")
    Path("text/b").write_bytes(b"caf\xe9")
    data = f'text {{ train = "text", tokenizer = "tokenizer.json", separator = "{END}" }}'
    message = said(prepare, data)
    assert "`text/b` cannot be used" in message
    assert "not UTF-8: byte 0xe9 at offset 3" in message


MISSING = [
    ('jsonl { train = "no.jsonl" }', "no.jsonl", "No such file or directory"),
    ('parquet { train = "no" }', "no", "No such file or directory"),
    ('hf { train = "no" }', "no", "no state.json: `save_to_disk` of `datasets` writes one"),
    ('jsonl { train = "empty" }', "empty", "no file in this folder ends in `.jsonl`"),
    ('parquet { train = "empty" }', "empty", "no file in this folder ends in `.parquet`"),
    ('hf { train = "empty" }', "empty", "no state.json"),
    ('jsonl { train = "pipe" }', "pipe", "neither a file nor a folder"),
    ('jsonl { train = "link" }', "link", "No such file or directory"),
    ('jsonl { train = "links" }', "links/b.jsonl", "No such file or directory"),
    ('jsonl { train = "round" }', "round/on/round", "a link to a folder that it is in"),
    ('jsonl { train = "web.jsonl", validation = "no" }', "no", "No such file or directory"),
]


@pytest.mark.parametrize(("data", "file", "why"), MISSING)
def test_what_is_missing(prepare: Prepare, data: str, file: str, why: str) -> None:
    Path("web.jsonl").write_bytes(GOOD)
    Path("empty").mkdir()
    os.mkfifo("pipe")
    Path("link").symlink_to("nowhere")
    Path("links").mkdir()
    Path("links/a.jsonl").write_bytes(GOOD)
    Path("links/b.jsonl").symlink_to("../nowhere")
    Path("round/on").mkdir(parents=True)
    Path("round/on/round").symlink_to("../../round")
    Path("round/a.jsonl").write_bytes(GOOD)
    result = prepare(data)
    assert result.exit_code == 1
    assert f"error[unusable-data]: `{file}` cannot be used" in result.output
    assert f"^ {why}" in result.output
    assert place(data, "validation" if "validation" in data else "train") in result.output


def test_an_empty_folder_of_text_and_too_little_text(prepare: Prepare) -> None:
    small_tokenizer(Path("tokenizer.json"))
    Path("text").mkdir()
    data = f'text {{ train = "text", tokenizer = "tokenizer.json", separator = "{END}" }}'
    assert "^ an empty folder" in said(prepare, data)
    Path("web.jsonl").write_bytes(b"\n \n")
    message = said(prepare, JSONL)
    assert "error[too-little-data]: there is less text than one sequence takes" in message
    assert "0 tokens, and one sequence takes 2" in message
    Path("web.jsonl").write_bytes(GOOD)
    result = prepare(JSONL, seq_len=5)
    assert (result.exit_code, "5 tokens, and one sequence takes 6" in result.output) == (1, True)
    assert prepare(JSONL, seq_len=4).exit_code == 0


TOKENIZERS = [
    (None, "`tokenizer.json` cannot be used", "No such file or directory"),
    (b"", "`tokenizer.json` cannot be used", "not a tokenizer.json: "),
    (b"{}", "`tokenizer.json` cannot be used", "not a tokenizer.json: "),
    (b"\xff\xfe\x00", "`tokenizer.json` cannot be used", "not a tokenizer.json: "),
    (b'{"model": {"type": "BPE"', "`tokenizer.json` cannot be used", "not a tokenizer.json: "),
]


@pytest.mark.parametrize(("raw", "title", "why"), TOKENIZERS)
def test_no_tokenizer(prepare: Prepare, raw: bytes | None, title: str, why: str) -> None:
    Path("web.jsonl").write_bytes(GOOD)
    if raw is not None:
        Path("tokenizer.json").write_bytes(raw)
    message = said(prepare, TOKENIZED)
    assert title in message
    assert f"^ {why}" in message
    assert place(TOKENIZED, "tokenizer") in message


def test_no_such_separator(prepare: Prepare) -> None:
    Path("web.jsonl").write_bytes(GOOD)
    small_tokenizer(Path("tokenizer.json"))
    message = said(prepare, TOKENIZED.replace(END, "</s>"))
    assert "^ no token `</s>`" in message
    assert f"= help: its special tokens are {END}" in message


def test_a_text_that_the_tokenizer_has_no_token_for(prepare: Prepare) -> None:
    """Words that a vocabulary lacks, and no token for unknown ones."""
    tokenizer = Tokenizer(models.WordLevel({"good": 0, END: 1}, unk_token="?"))
    tokenizer.save("tokenizer.json")
    Path("web.jsonl").write_bytes(GOOD * 2)
    assert prepare(TOKENIZED, vocab=512).exit_code == 0
    assert read(TRAIN).tokens == [0, 1, 0, 1]
    Path("web.jsonl").write_bytes(GOOD * 2 + b'{"text": "bad"}\n')
    result = prepare(TOKENIZED, vocab=512)
    assert result.exit_code == 1
    assert "`web.jsonl` cannot be used" in result.output
    assert "the tokenizer does not cover it: WordLevel error: Missing [UNK]" in result.output


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


@pytest.mark.parametrize("end", [0, 3, 100, -100])
def test_a_saved_dataset_that_was_cut_off(prepare: Prepare, end: int) -> None:
    write_dataset(Path("set"), [["first"], [f"{number**9}" for number in range(100)]], 1000)
    cut_off(Path("set/data-00001-of-00002.arrow"), end)
    message = said(prepare, 'hf { train = "set" }')
    assert "`set/data-00001-of-00002.arrow` cannot be used" in message
    assert "^ damaged: " in message


def test_folders_that_are_no_saved_dataset(prepare: Prepare) -> None:
    for text in ("", "[]", '{"_data_files": 3}', '{"_data_files": [1]}', "[" * 10**5):
        Path("set").mkdir(exist_ok=True)
        Path("set/state.json").write_text(text)
        message = said(prepare, 'hf { train = "set" }')
        assert "`set/state.json` cannot be used" in message
        assert "^ not what `save_to_disk` of `datasets` writes" in message
    write_dataset(Path("both/train"), [["a"]])
    write_dataset(Path("both/test"), [["a"]])
    Path("both/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    message = said(prepare, 'hf { train = "both" }')
    assert "^ a folder of several datasets" in message
    assert "= help: name one of them: both/test, both/train" in message
    write_dataset(Path("lost"), [["a"], ["b"]])
    Path("lost/data-00001-of-00002.arrow").unlink()
    message = said(prepare, 'hf { train = "lost" }')
    assert "`lost/data-00001-of-00002.arrow` cannot be used" in message


def mixture(source: str) -> str:
    return f"mixture {{ source one {{ data = {source}, weight = 1 }} }}"


def test_files_of_tokens_that_are_none(prepare: Prepare) -> None:
    Path("a.bin").write_bytes(bytes(9))
    message = said(prepare, mixture('tokens { train = "a.bin" }'))
    assert "`a.bin` cannot be used" in message
    assert "^ not a whole number of uint32 tokens" in message


PAIRS: list[tuple[str, Callable[[bytes], bytes], str, str]] = [
    ("pair.idx", lambda raw: raw[:20], "pair.idx", "not a whole index"),
    ("pair.idx", lambda raw: raw[:-8], "pair.idx", "not a whole index"),
    ("pair.idx", lambda raw: b"X" + raw[1:], "pair.idx", "not an index that Megatron wrote"),
    ("pair.idx", lambda raw: raw[:9] + b"\2" + raw[10:], "pair.idx", "not an index that"),
    ("pair.idx", lambda raw: raw[:17] + b"\6" + raw[18:], "pair.idx", "numbers of code 6"),
    ("pair.bin", lambda raw: raw[:-2], "pair.bin", "12 bytes, and its index tells of 14"),
    ("pair.bin", lambda raw: raw + b"ab", "pair.bin", "16 bytes, and its index tells of 14"),
]


@pytest.mark.parametrize(("file", "spoilt", "named", "why"), PAIRS)
def test_pairs_that_are_none(
    prepare: Prepare, file: str, spoilt: Callable[[bytes], bytes], named: str, why: str
) -> None:
    write_pair(Path("pair"), [[1, 2, 0], [3, 4, 5, 0]], code=8)
    Path(file).write_bytes(spoilt(Path(file).read_bytes()))
    message = said(prepare, mixture('megatron { train = "pair", separator = 0 }'))
    assert f"`{named}` cannot be used" in message
    assert f"^ {why}" in message


def test_halves_of_pairs(prepare: Prepare) -> None:
    data = mixture('megatron { train = "pair", separator = 0 }')
    write_pair(Path("pair"), [[1, 2, 0]], code=4)
    Path("pair.bin").rename("moved")
    message = said(prepare, data)
    assert "`pair.bin` cannot be used" in message
    assert "^ No such file or directory" in message
    assert place(data) in message
    Path("pair.idx").unlink()
    assert "`pair.idx` cannot be used" in said(prepare, data)


def test_prepared_folders_that_are_none(prepare: Prepare) -> None:
    write_lines(Path("web.jsonl"), texts(["abc"]))
    assert prepare(JSONL, "-o", "other").exit_code == 0
    index = Path("other/train/index.json")
    whole = index.read_text()
    shards = mixture('shards { train = "other/train" }')
    for text in ("", "[]", "{}", whole.replace('"tokens"', '"token"'), whole.replace("uint8", "x")):
        index.write_text(text)
        assert "`other/train/index.json` cannot be used" in said(prepare, shards)
    index.write_text(whole)
    cut_off(Path("other/train/shard-00000.bin"), -1)
    message = said(prepare, shards)
    assert "`other/train/shard-00000.bin` cannot be used" in message
    assert "^ 3 bytes, and its index tells of 4" in message
    Path("other/train/shard-00000.bin").unlink()
    assert "^ No such file or directory" in said(prepare, shards)


@pytest.mark.parametrize(
    ("data", "package"),
    [
        ('parquet { train = "rows.parquet" }', "pyarrow"),
        ('hf { train = "set" }', "pyarrow"),
        (TOKENIZED, "tokenizers"),
    ],
)
def test_a_package_that_is_not_installed(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, data: str, package: str
) -> None:
    small_tokenizer(Path("tokenizer.json"), seed="of this test alone")
    write_parquet(Path("rows.parquet"), ["a"])
    write_dataset(Path("set"), [["a"]])
    Path("web.jsonl").write_bytes(GOOD)
    monkeypatch.setitem(sys.modules, package, None)
    message = said(prepare, data)
    assert f"error[missing-library]: the package `{package}` is not installed" in message
    assert "= help: install `llamac[data]`" in message
    assert "--> run.llama:13:10\n" in message  # all of the data


def test_text_and_json_lines_need_no_package(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pyarrow", "tokenizers", "numpy", "torch"):
        monkeypatch.setitem(sys.modules, package, None)
    Path("web.jsonl").write_bytes(GOOD)
    assert prepare(JSONL).exit_code == 0
