"""Data that cannot be used: the error names the file, the line and why, at its row of the spec.

The exit code is 1, that of a spec with errors, and no error is a traceback.
"""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    END,
    read,
    small_tokenizer,
    texts,
    write_dataset,
    write_lines,
    write_pair,
    write_parquet,
)
from tests.prepare.refusing import GOOD, JSONL, TOKENIZED, TRAIN, cut_off, place, said


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
    assert "error[too-little-data]: there is not enough data for one sequence" in message
    assert "0 tokens, but one sequence needs 2" in message
    Path("web.jsonl").write_bytes(GOOD)
    result = prepare(JSONL, seq_len=5)
    assert (result.exit_code, "5 tokens, but one sequence needs 6" in result.output) == (1, True)
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
    ("pair.bin", lambda raw: raw[:-2], "pair.bin", "12 bytes, and its index says 14"),
    ("pair.bin", lambda raw: raw + b"ab", "pair.bin", "16 bytes, and its index says 14"),
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
    assert "^ 3 bytes, and its index says 4" in message
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
