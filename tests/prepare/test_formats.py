"""Every format: the tokens of its shards are those of its documents, in order, each with its end.

What is expected is written here by hand, or made by the standard library and `tokenizers`.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import Result

from tests.loader.files import write_megatron
from tests.prepare.calling import Prepare
from tests.prepare.corpora import (
    COMPRESS,
    END,
    as_bytes,
    as_tokens,
    read,
    small_tokenizer,
    texts,
    write_dataset,
    write_lines,
    write_pair,
    write_parquet,
)

TRAIN = Path("prepared/main/train")
DOCUMENTS = ["the cat", "", "and\nthe hat\r\n", "caf\u00e9 \u2014 \u65e5\u672c \U0001f680", " "]
TOKENIZED = f'tokenizer = "tokenizer.json", separator = "{END}"'


def done(result: Result) -> None:
    assert result.exit_code == 0, result.output


def test_text_is_a_document_a_file_in_the_order_of_their_paths(prepare: Prepare) -> None:
    tokenizer = small_tokenizer(Path("tokenizer.json"))
    files = {"b/z.txt": "the cat", "a.md": "", "b.txt": "a\0b", "b/inner/a": "\u00e9t\u00e9 the"}
    for name, text in files.items():
        Path("text", name).parent.mkdir(parents=True, exist_ok=True)
        Path("text", name).write_text(text)
    done(prepare(f'text {{ train = "text", {TOKENIZED} }}', vocab=512))
    # By the bytes of the whole path: `.` comes before `/`.
    in_order = [files[name] for name in ("a.md", "b.txt", "b/inner/a", "b/z.txt")]
    found = read(TRAIN)
    assert found.tokens == as_tokens(tokenizer, in_order)
    assert found.index["documents"] == 4
    done(prepare(f'text {{ train = "text/b/z.txt", {TOKENIZED} }}', vocab=512))
    assert read(TRAIN).tokens == as_tokens(tokenizer, ["the cat"])


def test_data_that_are_read_as_they_are_have_to_be_there(prepare: Prepare) -> None:
    for data in ('text { train = "no" }', 'megatron { train = "no", separator = 0 }'):
        result = prepare(data)
        assert result.exit_code == 1
        assert "^ No such file or directory" in result.output


def test_text_as_bytes_needs_no_shards(prepare: Prepare) -> None:
    Path("text").mkdir()
    Path("text/a").write_text("abc")
    result = prepare('text { train = "text" }')
    done(result)
    assert result.output == "nothing to prepare: the program reads text directly\n"
    assert not Path("prepared").exists()


@pytest.mark.parametrize("name", ["web.jsonl", "web.jsonl.gz", "web.json.gz", "web"])
def test_json_lines(prepare: Prepare, name: str) -> None:
    write_lines(Path(name), texts(DOCUMENTS))
    done(prepare(f'jsonl {{ train = "{name}" }}'))
    assert read(TRAIN).tokens == as_bytes(DOCUMENTS)
    assert read(TRAIN).index["documents"] == len(DOCUMENTS)
    assert read(TRAIN).index["separator"] == 0


def test_a_folder_of_json_lines_is_read_in_the_order_of_its_names(prepare: Prepare) -> None:
    Path("web/inner").mkdir(parents=True)
    write_lines(Path("web/c.jsonl"), texts(["third"]))
    write_lines(Path("web/a.jsonl.gz"), texts(["first"]))
    write_lines(Path("web/d.json.gz"), texts(["fourth"]))
    write_lines(Path("web/b.jsonl"), texts(["second"]))
    write_lines(Path("web/inner/g.jsonl"), texts(["seventh"]))
    write_lines(Path("web/e.json"), texts(["fifth"]))
    write_lines(Path("web/f.ndjson"), texts(["sixth"]))
    Path("web/notes.txt").write_text("neither JSON nor read")
    done(prepare('jsonl { train = "web" }'))
    in_order = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
    assert read(TRAIN).tokens == as_bytes(in_order)


@pytest.mark.parametrize("packed", COMPRESS)
@pytest.mark.parametrize("end", ["jsonl", "JSONL", "Json", "ndjson"])
def test_compressed_lines(prepare: Prepare, packed: str, end: str) -> None:
    """Named alone or in a folder, in any case; what `cat` joins is read to its end."""
    parts = [COMPRESS[packed](b'{"text": "%s"}\n' % word) for word in (b"cat", b"hat")]
    for name in (f"part.{end}.{packed}", f"PART.{end}.{packed.upper()}"):
        Path("web").mkdir(exist_ok=True)
        Path("web", name).write_bytes(b"".join(parts))
        done(prepare(f'jsonl {{ train = "web/{name}" }}'))
        assert read(TRAIN).tokens == as_bytes(["cat", "hat"])
    done(prepare('jsonl { train = "web" }'))
    assert read(TRAIN).tokens == as_bytes(["cat", "hat"] * 2)


def test_json_lines_as_others_write_them(prepare: Prepare) -> None:
    """Another field, a mark at the beginning, blank lines, escapes, no newline at the end."""
    Path("web.jsonl").write_bytes(
        b'\xef\xbb\xbf{"n": 1, "body": "a"}\r\n'
        b"\n"
        b'   {"body": "\\ud83d\\ude80 \\n"}  \n'
        b" \t \r\n"
        b'{"body": "\xc3\xa9", "text": 3}'
    )
    done(prepare('jsonl { train = "web.jsonl", text = "body" }'))
    assert read(TRAIN).tokens == [97, 0, 0xF0, 0x9F, 0x9A, 0x80, 32, 10, 0, 0xC3, 0xA9, 0]


def test_packed_lines_of_several_members(prepare: Prepare) -> None:
    """As `cat a.gz b.gz` makes them; and zeros that tapes leave at the end."""
    one, two = (gzip.compress(b'{"text": "%s"}\n' % word) for word in (b"cat", b"hat"))
    Path("web.jsonl.gz").write_bytes(one + two + bytes(512))
    done(prepare('jsonl { train = "web.jsonl.gz" }'))
    assert read(TRAIN).tokens == as_bytes(["cat", "hat"])


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.binary()),
    ],
    ids=str,
)
def test_parquet(prepare: Prepare, kind: pa.DataType) -> None:
    Path("rows/inner").mkdir(parents=True)
    columns = {"id": [*range(5)], "a.b": pa.array(DOCUMENTS, pa.string()).cast(kind)}
    pyarrow.parquet.write_table(pa.table(columns), "rows/b.parquet", row_group_size=2)
    pyarrow.parquet.write_table(pa.table({"a.b": ["last"]}), "rows/inner/a.parquet")
    pyarrow.parquet.write_table(pa.table({"a.b": ["first"]}), "rows/a.parquet")
    Path("rows/README.md").write_text("not Parquet")
    done(prepare('parquet { train = "rows", text = "a.b" }'))
    assert read(TRAIN).tokens == as_bytes(["first", *DOCUMENTS, "last"])
    done(prepare('parquet { train = "rows/b.parquet", text = "a.b" }'))
    assert read(TRAIN).tokens == as_bytes(DOCUMENTS)


@pytest.mark.parametrize("form", ["parquet", "hf", "jsonl"])
def test_text_inside_of_records(prepare: Prepare, form: str) -> None:
    """A dotted name leads there; a column of just that name comes first."""
    records = [{"meta": {"page": {"text": text}, "n": 1}, "a.b": "x"} for text in DOCUMENTS]
    table = pa.Table.from_pylist(records)
    if form == "parquet":
        pyarrow.parquet.write_table(table, "rows")
    elif form == "jsonl":
        write_lines(Path("rows"), records)
    else:
        write_dataset(Path("rows"), [[]])
        with pa.ipc.new_stream("rows/data-00000-of-00001.arrow", table.schema) as writer:
            writer.write_table(table)
    done(prepare(f'{form} {{ train = "rows", text = "meta.page.text" }}'))
    assert read(TRAIN).tokens == as_bytes(DOCUMENTS)
    done(prepare(f'{form} {{ train = "rows", text = "a.b" }}'))
    assert read(TRAIN).tokens == as_bytes(["x"] * len(DOCUMENTS))


def test_saved_datasets_are_read_in_the_order_that_they_say(prepare: Prepare) -> None:
    write_dataset(Path("set"), [DOCUMENTS * 3, ["alone"], []])
    state = json.loads(Path("set/state.json").read_text())
    state["_data_files"].reverse()
    Path("set/state.json").write_text(json.dumps(state))
    done(prepare('hf { train = "set" }'))
    found = read(TRAIN)
    assert found.tokens == as_bytes(["alone", *DOCUMENTS * 3])
    assert len(found.shards) == 3


def test_files_of_tokens_and_pairs_are_read_as_they_are(prepare: Prepare) -> None:
    numpy.array([1, 2, 0], "<u4").tofile("a.bin")
    write_megatron(Path("pair"), [1, 2, 0], 8, random.Random(0))
    for data in ('tokens { train = "a.bin" }', 'megatron { train = "pair", separator = 0 }'):
        result = prepare(data)
        done(result)
        assert "nothing to prepare" in result.output
    assert not Path("prepared").exists()


def sources(**of: str) -> str:
    inner = "\n".join(f"source {name} {{ data = {data}, weight = 1 }}" for name, data in of.items())
    return f"mixture {{\n{inner}\n}}"


def test_a_mixture_brings_every_format_together(prepare: Prepare) -> None:
    tokenizer = small_tokenizer(Path("tokenizer.json"))
    end = tokenizer.token_to_id(END)
    write_lines(Path("web.jsonl"), texts(DOCUMENTS))
    write_parquet(Path("rows.parquet"), ["parquet the cat"])
    write_dataset(Path("set"), [["saved"], ["the hat"]])
    Path("code").mkdir()
    Path("code/a.py").write_text("print()\n")
    Path("tokens").mkdir()
    numpy.array([7, 8, end, 9, end], "<u4").tofile("tokens/b.bin")
    numpy.array([5, end], "<u4").tofile("tokens/a.bin")
    Path("pairs/inner").mkdir(parents=True)
    write_pair(Path("pairs/a"), [[11, 12, end], [13, end]], code=8)
    write_pair(Path("pairs/inner/b"), [[301, end], [302, 303, end], [end]], code=4)
    done(prepare(f'jsonl {{ train = "web.jsonl", {TOKENIZED} }}', "-o", "other", vocab=512))

    mixture = sources(
        web=f'jsonl {{ train = "web.jsonl", {TOKENIZED} }}',
        rows=f'parquet {{ train = "rows.parquet", {TOKENIZED} }}',
        set=f'hf {{ train = "set", {TOKENIZED} }}',
        code=f'text {{ train = "code", {TOKENIZED} }}',
        flat=f'tokens {{ train = "tokens", separator = {end} }}',
        pairs=f'megatron {{ train = "pairs", separator = {end} }}',
        one=f'megatron {{ train = "pairs/inner/b", separator = {end} }}',
        other='shards { train = "other/train" }',
    )
    done(prepare(mixture, vocab=512))
    expected = {
        "web": as_tokens(tokenizer, DOCUMENTS),
        "rows": as_tokens(tokenizer, ["parquet the cat"]),
        "set": as_tokens(tokenizer, ["saved", "the hat"]),
        "code": as_tokens(tokenizer, ["print()\n"]),
        "flat": [5, end, 7, 8, end, 9, end],
        "pairs": [11, 12, end, 13, end, 301, end, 302, 303, end, end],
        "one": [301, end, 302, 303, end, end],
        "other": as_tokens(tokenizer, DOCUMENTS),
    }
    found = read(TRAIN)
    at = 0
    for name, tokens in expected.items():
        assert found.sources[name] == [at, len(tokens)], name
        assert found.tokens[at : at + len(tokens)] == tokens, name
        at += len(tokens)
    assert at == len(found.tokens)
    assert found.index["separator"] == end
    assert found.index["documents"] == 5 + 1 + 2 + 1 + 3 + 5 + 3 + 5
    # Files of tokens stay where they are.
    made = {file.name.split("-")[0] for file in TRAIN.glob("*.bin")}
    assert made == {"web", "rows", "set", "code"}


def test_shards_of_tokens_alone_mix_with_any_tokenizer(prepare: Prepare) -> None:
    """Nobody knows what files of tokens are made with, and prepared ones are no wiser."""
    tokenizer = small_tokenizer(Path("tokenizer.json"))
    end = tokenizer.token_to_id(END)
    numpy.array([5, 6, end], "<u4").tofile("a.bin")
    flat = f'tokens {{ train = "a.bin", separator = {end} }}'
    done(prepare(sources(flat=flat), "-o", "flat", vocab=512))
    write_lines(Path("web.jsonl"), texts(["the cat"]))
    web = f'jsonl {{ train = "web.jsonl", {TOKENIZED} }}'
    done(prepare(sources(flat='shards { train = "flat/train" }', web=web), vocab=512))
    assert read(TRAIN).tokens == [5, 6, end, *as_tokens(tokenizer, ["the cat"])]


def test_validation_is_a_folder_of_its_own(prepare: Prepare) -> None:
    write_lines(Path("a.jsonl"), texts(["one", "two"]))
    write_lines(Path("b.jsonl"), texts(["three"]))
    result = prepare('jsonl { train = "a.jsonl", validation = "b.jsonl" }', "-o", "here")
    done(result)
    assert read(Path("here/train")).tokens == as_bytes(["one", "two"])
    assert read(Path("here/validation")).tokens == as_bytes(["three"])
    assert "here/train: 8 tokens of 2 documents in 1 shard, 0 kept\n" in result.output
    assert "here/validation: 6 tokens of 1 document in 1 shard, 0 kept\n" in result.output
    assert "the program looks in prepared/main: run it with --data here/train" in result.output


def test_a_folder_behind_a_link_is_read(prepare: Prepare) -> None:
    Path("web").mkdir()
    Path("far").mkdir()
    write_lines(Path("far/b.jsonl"), texts(["two"]))
    write_lines(Path("web/a.jsonl"), texts(["one"]))
    write_lines(Path("web/z.JSONL"), texts(["three"]))
    Path("web/link").symlink_to("../far")
    done(prepare('jsonl { train = "web" }'))
    assert read(TRAIN).tokens == as_bytes(["one", "two", "three"])


def test_a_large_line_and_a_large_file(prepare: Prepare, unit_of: Callable[[int], None]) -> None:
    """A line longer than several units belongs to the unit that it begins in."""
    unit_of(100)
    documents = ["short", "x" * 1000, "after", "y" * 99]
    write_lines(Path("web.jsonl"), texts(documents))
    done(prepare('jsonl { train = "web.jsonl" }'))
    found = read(TRAIN)
    assert found.tokens == as_bytes(documents)
    size = Path("web.jsonl").stat().st_size
    assert len(found.shards) == -(-size // 100)
    assert found.shards[0] == tuple(as_bytes(documents[:2]))
    assert found.shards[1:10] == ((),) * 9
