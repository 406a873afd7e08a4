"""Every form in which a program finds its tokens: read as one stream, whatever the files are."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from compiler.schema import ClusterSpec, CpuNode, PlanSpec
from compiler.schema.train import (
    AdamW,
    JsonlData,
    MegatronData,
    MixtureData,
    Source,
    TextData,
    TokenData,
    TrainSpec,
)
from dsl.diagnostics import Diagnostic
from dsl.schema import Count, Named
from dsl.spec import Origins
from llamac.prepare.prepare import Split, prepare
from llamac.prepare.sources import read_source
from llamac.prepare.unit import WrongData
from tests.loader.files import (
    MEGATRON,
    SEPARATOR,
    any_tokens,
    countable,
    megatron_index,
    words,
    write,
    write_megatron,
    write_shards,
    write_tokens,
)
from tests.loader.programs import Layout, Setting, World, numbers
from tests.twin.layouts import llama


def stream(data: str, path: Path, count: int, vocab: int = 2**31) -> list[int]:
    """The first tokens of a corpus, asked for in pieces that keep to no border."""
    corpus = Setting(data, 4, vocab=vocab).one().Corpus(str(path))
    draw, read = random.Random(count), list[int]()
    while len(read) < count:
        last = min(count, len(read) + draw.randrange(1, 30))
        read += numbers(corpus.read(len(read), last))
    return read


@pytest.mark.parametrize("seed", range(5))
def test_files_of_tokens_are_one_stream(tmp_path: Path, seed: int) -> None:
    """In the order of their paths, empty ones among them; and a file alone."""
    draw = random.Random(seed)
    tokens = [draw.randrange(2**31) for _ in range(draw.randrange(20, 200))]
    write_tokens(tmp_path / "many", tokens, draw)
    (tmp_path / "many" / "empty.bin").touch()
    assert stream("tokens", tmp_path / "many", len(tokens)) == tokens
    write(tmp_path / "one.bin", words(tokens))
    assert stream("tokens", tmp_path / "one.bin", len(tokens)) == tokens


def test_files_of_uint16_are_one_stream(tmp_path: Path) -> None:
    """As nanoGPT writes them."""
    tokens = [2**16 - 1, *any_tokens(random.Random(2), 80, 2**16)]
    write(tmp_path / "data" / "a.bin", words(tokens[:30], "H"))
    write(tmp_path / "data" / "b.bin", words(tokens[30:], "H"))
    program = Setting("tokens", 4, more=(("TOKEN_DTYPE", "uint16"),)).one()
    corpus = program.Corpus(str(tmp_path / "data"))
    assert numbers(corpus.read(0, len(tokens))) == tokens
    write(tmp_path / "data" / "c.bin", b"\0")
    with pytest.raises(program.DataError, match=r"c\.bin' is not a whole number of uint16 tokens"):
        program.Corpus(str(tmp_path / "data"))


@pytest.mark.parametrize(("last", "count"), [(SEPARATOR, 0), (1, 1)])
def test_files_of_tokens_that_do_not_end_a_document_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, last: int, count: int
) -> None:
    write(tmp_path / "a.bin", words([1] * 20 + [last]))
    stream("tokens", tmp_path / "a.bin", 5)
    assert caplog.text.count("a.bin' does not end with token 0: is `separator` right?") == count


def test_text_is_a_token_a_byte(tmp_path: Path) -> None:
    """A file is a document; all 256 bytes, and what is no UTF-8."""
    documents = {"a.txt": bytes(range(256)), "a/b.txt": b"", "b.txt": b"\xff\xfe end\n"}
    for name, content in documents.items():
        write(tmp_path / "text" / name, content)
    expected = [byte for content in documents.values() for byte in (*content, 0)]
    assert stream("text", tmp_path / "text", len(expected)) == expected


@pytest.mark.parametrize("code", [8, 4])
def test_megatron_pairs(tmp_path: Path, code: int) -> None:
    """The two codes that its preprocessing writes, to the ends of what they hold."""
    draw = random.Random(code)
    largest = 2**16 - 1 if code == 8 else 2**31 - 1
    tokens = [largest, *(draw.randrange(largest + 1) for _ in range(100)), largest]
    write_megatron(tmp_path / "pair", tokens, code, draw)
    assert stream("megatron", tmp_path / "pair", len(tokens), largest + 1) == tokens


@pytest.mark.parametrize(("last", "count"), [(SEPARATOR, 0), (1, 1)])
def test_pairs_without_ends_of_documents_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, last: int, count: int
) -> None:
    """Its preprocessing writes none unless it is asked to."""
    write_megatron(tmp_path / "pair", [1] * 20 + [last], 8, random.Random(0))
    stream("megatron", tmp_path / "pair", 5)
    assert caplog.text.count("pair' does not end with token 0: is `separator` right?") == count


def test_a_folder_of_megatron_pairs(tmp_path: Path) -> None:
    """Of both widths, in the order of their paths; nothing else in it is read."""
    draw, expected = random.Random(0), list[int]()
    for name, code in (("a", 8), ("a/b", 4), ("b", 8)):
        tokens = any_tokens(draw, 40, 1000)
        write_megatron(tmp_path / "pairs" / name, tokens, code, draw)
        expected += tokens
    write(tmp_path / "pairs" / "notes.txt", b"not tokens")
    for end in ("bin", "idx"):
        (tmp_path / "pairs" / f"b.{end}").rename(tmp_path / "pairs" / f"b.{end.upper()}")
    assert stream("megatron", tmp_path / "pairs", len(expected)) == expected


@pytest.mark.parametrize("data", ["text", "tokens", "megatron"])
def test_a_folder_behind_a_link_is_read(tmp_path: Path, data: str) -> None:
    """Where it stands, like a folder; links to files too."""
    draw, expected = random.Random(1), list[int]()
    for name, place in (("a", "here/a"), ("b", "elsewhere/b"), ("c", "elsewhere/c")):
        tokens = [ord(name), ord("!"), 0]
        if data == "megatron":
            write_megatron(tmp_path / place, tokens, 8, draw)
        else:
            content = f"{name}!".encode() if data == "text" else words(tokens)
            write(tmp_path / f"{place}.bin", content)
        expected += tokens
    (tmp_path / "here" / "far").symlink_to("../elsewhere")
    assert stream(data, tmp_path / "here", len(expected)) == expected


def test_numbers_that_megatron_writes_for_no_tokens_are_refused(tmp_path: Path) -> None:
    for code in {*MEGATRON} - {4, 8}:
        write(tmp_path / "pair.bin", words(range(30), MEGATRON[code]))
        write(tmp_path / "pair.idx", megatron_index([30], [0, 1], code))
        loader = Setting("megatron", 4).one()
        with pytest.raises(loader.DataError, match=r"pair\.idx' is no index of tokens"):
            loader.Corpus(str(tmp_path / "pair"))


def test_shards_of_every_width(tmp_path: Path) -> None:
    tokens = [place % 200 for place in range(500)]
    write_shards(tmp_path / "shards", {"": tokens[:200], "more": tokens[200:]}, codes="BHI")
    assert stream("shards", tmp_path / "shards", 500) == tokens


# What `llamac prepare` writes.


def prepared(folder: Path, data: MixtureData | JsonlData) -> tuple[Split, ...] | Diagnostic:
    """Of a plan that reads `data`, in `folder`/prepared."""
    train = TrainSpec(
        steps=1,
        seq_len=4,
        global_batch=Count(1, "sequences"),
        optimizer=AdamW(lr=0.1),
        data=data,
    )
    spec = PlanSpec(model=llama(2), cluster=ClusterSpec(node=CpuNode(devices=1)), train=train)
    return prepare("main", spec, Origins(), folder / "prepared", processes=1)


def write_documents(path: Path, documents: Sequence[str]) -> list[int]:
    """As JSON lines; returns their bytes, each document ended."""
    write(path, "".join(json.dumps({"text": text}) + "\n" for text in documents).encode())
    return [byte for text in documents for byte in (*text.encode(), SEPARATOR)]


def test_what_prepare_wrote_is_read(tmp_path: Path) -> None:
    texts = ["one", "", "zwei \u00e4\u00f6", "\n\n", "f\u00fcnf" * 30]
    expected = write_documents(tmp_path / "docs.jsonl", texts)
    made = prepared(tmp_path, JsonlData(train=str(tmp_path / "docs.jsonl")))
    assert not isinstance(made, Diagnostic), made
    assert stream("shards", tmp_path / "prepared" / "train", len(expected)) == expected


def test_a_mixture_that_prepare_wrote_is_read(tmp_path: Path) -> None:
    """Bytes of text, and files of tokens that stay where they are: uint8, uint32 and uint16."""
    draw = random.Random(4)
    expected = write_documents(tmp_path / "docs.jsonl", ["a few words", "and some more"])
    tokens, pairs = any_tokens(draw, 60, 1500), any_tokens(draw, 70, 1500)
    write_tokens(tmp_path / "tokens", tokens, draw)
    write_megatron(tmp_path / "pair", pairs, 8, draw)
    sources = (
        ("text", Source(data=JsonlData(train=str(tmp_path / "docs.jsonl")), weight=1)),
        ("tokens", Source(data=TokenData(train=str(tmp_path / "tokens")), weight=1)),
        (
            "pairs",
            Source(data=MegatronData(train=str(tmp_path / "pair"), separator=0), weight=2),
        ),
    )
    made = prepared(tmp_path, MixtureData(source=Named(sources)))
    assert not isinstance(made, Diagnostic), made
    folder = tmp_path / "prepared" / "train"
    assert stream("shards", folder, len(expected) + 130) == [*expected, *tokens, *pairs]
    dtypes = [shard["dtype"] for shard in json.loads((folder / "index.json").read_text())["shards"]]
    assert {*dtypes} == {"uint8", "uint16", "uint32"}


GOOD = megatron_index([3, 5], [0, 1, 2], 8)
WRONG: dict[str, tuple[bytes, str]] = {
    "magic": (megatron_index([3, 5], [0, 2], 8, magic=b"MMIDIDY\x00\x00"), "not an index"),
    "version": (megatron_index([3, 5], [0, 2], 8, version=2), "not an index"),
    "dtype": (megatron_index([3, 5], [0, 2], 5), "code 5"),
    "no sequences": (megatron_index([], [0], 8), "not an index"),
    "cut in its head": (GOOD[:30], "ends too early"),
    "cut in its lengths": (GOOD[:38], "ends too early"),
    "cut in its documents": (GOOD[:-1], "ends too early"),
    "as many sequences as a number can say": (GOOD[:18] + b"\xff" * 8 + GOOD[26:], "too early"),
    "a token less": (megatron_index([3, 4], [0, 2], 8), "its index says 14"),
    "a token more": (megatron_index([3, 6], [0, 2], 8), "its index says 18"),
    "less than nothing": (megatron_index([3, -5], [0, 2], 8), "its index says -4"),
    "tokens of other width": (megatron_index([3, 5], [0, 2], 4), "its index says 32"),
}


@pytest.mark.parametrize(("index", "why"), WRONG.values(), ids=WRONG)
def test_prepare_and_a_program_refuse_the_same_pairs(
    tmp_path: Path, index: bytes, why: str
) -> None:
    """Both at once, before a token is read."""
    path, corpus = tmp_path / "pair", MegatronData(train="pair", separator=0)
    loader = Setting("megatron", 4).one()
    write(path.with_suffix(".bin"), words([7] * 8, "H"))
    write(path.with_suffix(".idx"), GOOD)
    read_source("", corpus, path, "", tmp_path)
    loader.Corpus(str(path))
    write(path.with_suffix(".idx"), index)
    with pytest.raises(WrongData) as refused:
        read_source("", corpus, path, "", tmp_path)
    assert why in refused.value.why
    with pytest.raises(loader.DataError, match=rf"pair\.{refused.value.file.suffix[1:]}' is "):
        loader.Corpus(str(path))


# Mixtures.


@pytest.mark.parametrize("shares", [(7, 3), (1, 1), (1, 12), (5, 3, 2), (1, 1, 1, 4)])
def test_every_step_has_its_share_of_every_source(tmp_path: Path, shares: Sequence[int]) -> None:
    """Never a whole sequence off, wherever a run is stopped; within a round exactly; and of a
    source, everything is read once before anything is read again."""
    draw, seq_len = random.Random(sum(shares)), 4
    names = [f"s{i}" for i in range(len(shares))]
    tokens = countable(draw, 400)
    cuts = sorted(draw.sample(range(10, 390), len(shares) - 1))
    spans = [*zip([0, *cuts], [*cuts, 400], strict=True)]
    parts = {name: tokens[a:b] for name, (a, b) in zip(names, spans, strict=True)}
    write_shards(tmp_path / "mixed", parts)
    layout = Layout(fsdp=2, microbatch=1, microbatches=3)
    mixture = tuple(zip(names, shares, strict=True))
    world = World(
        Setting("mixture", seq_len, more=(("MIXTURE", mixture),)), layout, tmp_path / "mixed"
    )

    had, read, position = [0] * len(shares), Counter[tuple[int, int]](), 0
    for step in range(60):
        for row in world.step(position).tokens:
            at = 0 if row[0] != SEPARATOR else 1
            start = row[at] - 1 - at
            (source,) = [i for i, (a, b) in enumerate(spans) if a <= start < b]
            assert (start - spans[source][0]) % seq_len == 0
            assert start + seq_len < spans[source][1]
            had[source] += 1
            read[source, start] += 1
        position = world.next_position(position)
        rows = (step + 1) * layout.global_batch
        for count, share in zip(had, shares, strict=True):
            due = Fraction(rows * share, sum(shares))
            assert abs(count - due) < 1
            assert count == due or rows % sum(shares) != 0
    for source, (a, b) in enumerate(spans):
        sequences = (b - a - 1) // seq_len
        times = [read[source, a + seq_len * i] for i in range(sequences)]
        assert sum(times) == had[source]
        assert {*times} <= {had[source] // sequences, math.ceil(had[source] / sequences)}


# What a checkpoint remembers of the data.


@pytest.mark.parametrize("data", ["text", "tokens", "shards", "megatron"])
def test_a_fingerprint_is_of_the_content(tmp_path: Path, data: str) -> None:
    """Not of the place; and any file that differs in length or at its beginning makes another."""
    draw = random.Random(1)
    tokens = any_tokens(draw, 300, 200)

    def written(name: str, tokens: Sequence[int]) -> str:
        folder = tmp_path / name
        match data:
            case "shards":
                write_shards(folder, {"": tokens})
            case "megatron":
                write_megatron(folder / "a", tokens[:150], 8, random.Random(0))
                write_megatron(folder / "b", tokens[150:], 4, random.Random(0))
            case _:
                code = "B" if data == "text" else "I"
                write(folder / "a", words(tokens[:150], code))
                write(folder / "b", words(tokens[150:], code))
        return Setting(data, 4).one().Corpus(str(folder)).fingerprint()

    first = written("here", tokens)
    assert written("there", tokens) == first
    others = [
        written("first file", [tokens[0] + 1, *tokens[1:]]),
        written("second file", [*tokens[:150], tokens[150] + 1, *tokens[151:]]),
        written("longer", [*tokens, 9]),
    ]
    assert len({first, *others}) == 4


def test_plain_text_needs_no_preparation(tmp_path: Path) -> None:
    """And then nothing is written."""
    (tmp_path / "a.txt").write_text("abc")
    train = TrainSpec(optimizer=AdamW(lr=0.1), data=TextData(train=str(tmp_path)))
    spec = PlanSpec(model=llama(2), cluster=ClusterSpec(node=CpuNode(devices=1)), train=train)
    assert prepare("main", spec, Origins(), tmp_path / "prepared") == ()
    assert not (tmp_path / "prepared").exists()
