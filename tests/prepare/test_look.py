"""What `llamac check` says of data from its names, sizes and first bytes."""

from __future__ import annotations

import gzip
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llamac
from llamac.prepare.tokens import reading_hint
from tests.loader.files import write_megatron
from tests.prepare.corpora import spec


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(data: str, vocab: int = 512, more: str = "") -> list[tuple[str, str, tuple[str, ...]]]:
    """(slug, title and label, helps) of what is wrong or doubtful. Every span is in the data."""
    Path("run.llama").write_text(spec(data, vocab).replace("steps = 1,", f"steps = 1, {more}"))
    diagnostics = llamac.check("run.llama")
    for diagnostic in diagnostics:
        assert diagnostic.primary is not None
        assert diagnostic.primary.span.start >= Path("run.llama").read_text().index("data =")
    return [(d.slug, f"{d.title}: {d.primary.text}", d.helps) for d in diagnostics if d.primary]


def only(data: str, slug: str, vocab: int = 512, more: str = "") -> tuple[str, tuple[str, ...]]:
    ((its, text, helps),) = found(data, vocab, more)
    assert its == slug
    return text, helps


TOKENS = [(7 * i) % 511 + 1 for i in range(641)]
OTHERS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "uint16": (lambda: words("<u2"), "and the vocabulary has 512", "write `dtype = uint16`"),
    "big-endian": (lambda: words(">u4"), "the vocabulary has", 'numpy.fromfile("a.bin", ">u4")'),
    "odd": (lambda: words("<u2")[:-2], "not a whole number of uint32", "write `dtype = uint16`"),
    "half": (lambda: words("<u4")[:-1], "not a whole number of uint32 tokens", ""),
    "NumPy": (lambda: b"\x93NUMPY" + words("<u2"), "an array saved by NumPy", "numpy.load("),
    "llm.c": (
        lambda: numpy.array([20240520, 1], "<i4").tobytes() + bytes(1016) + words("<u2"),
        "a file of llm.c",
        "`tail -c +1025 a.bin > tokens.bin` leaves the tokens; then write `dtype = uint16`",
    ),
    "llm.c for Llama 3": (
        lambda: numpy.array([20240801, 7], "<i4").tobytes() + bytes(1016) + words("<u4"),
        "a file of llm.c",
        "then write `dtype = uint32`",
    ),
    "Megatron": (
        lambda: b"MMIDIDX\0\0" + bytes(31),
        "index written by Megatron",
        "data = megatron",
    ),
}


def words(dtype: str) -> bytes:
    return numpy.array([*TOKENS, 0], dtype).tobytes()


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_are_no_bare_uint32(name: str) -> None:
    content, why, help = OTHERS[name]
    Path("a.bin").write_bytes(content())
    text, helps = only('tokens { train = "a.bin" }', "unusable-data")
    assert "`a.bin` cannot be used" in text
    assert why in text
    assert help in "".join(helps)
    if name == "uint16":
        assert found('tokens { train = "a.bin", dtype = uint16, separator = 0 }') == []


def test_tokens_that_only_the_model_lacks() -> None:
    """No other reading fits, so the vocabulary is too small."""
    Path("a.bin").write_bytes(numpy.array([*range(600), 0], "<u4").tobytes())
    data = 'tokens { train = "a.bin", separator = 0 }'
    Path("run.llama").write_text(spec(data, 100))
    (diagnostic,) = llamac.check("run.llama")
    assert diagnostic.slug == "tokenizer-too-large"
    assert diagnostic.helps == ("write `vocab = 600`",)
    assert found(data, 600) == []


@given(
    st.lists(st.integers(0, 50_256), min_size=20, max_size=40),
    st.sampled_from(["<u2", ">u2", ">u4", "<i8"]),
)
def test_a_hint_gives_tokens_of_the_vocabulary(tokens: list[int], stored: str) -> None:
    """Where the file does not fit as it is read, there is a hint, and what it says fits."""
    raw = numpy.array(tokens, stored).tobytes()
    if len(raw) % 4 or numpy.frombuffer(raw, "<u4").max() < 50_257:
        return
    hint = reading_hint(Path("a"), raw, "uint32", 50_257)
    called = re.search(r'fromfile\("a", "(.*?)"\)', hint)
    as_it_is_told = called[1] if called else "<u2"
    assert called or "write `dtype = uint16`" in hint
    assert numpy.frombuffer(raw[: len(raw) // 8 * 8], as_it_is_told).max() < 50_257


@pytest.mark.parametrize(("stored", "dtype"), [("<u4", "uint16"), ("<i8", "uint32")])
def test_numbers_of_twice_the_width(stored: str, dtype: str) -> None:
    Path("a.bin").write_bytes(words(stored))
    text, helps = only(f'tokens {{ train = "a.bin", dtype = {dtype} }}', "doubtful-width")
    assert "every second token of `a.bin` is 0" in text
    assert ("dtype = uint32" if dtype == "uint16" else '"<u8"') in helps[0]


def documents(end: int) -> bytes:
    """60 documents, each with token 0 in it as any other."""
    return numpy.array([token for i in range(60) for token in (i + 1, 9, 0, end)], "<u4").tobytes()


def test_the_default_separator_that_ends_nothing() -> None:
    Path("a.bin").write_bytes(documents(500))
    text, helps = only('tokens { train = "a.bin" }', "doubtful-separator")
    assert "`a.bin` does not end with its separator, token 0" in text
    assert "it is 60 of the first 240 tokens" in text
    assert helps == ("write `separator = 500`", "if it is right, write `separator = 0`")
    for written in (500, 0):
        assert found(f'tokens {{ train = "a.bin", separator = {written} }}') == []
    assert found('tokens { train = "a.bin" }', more="packing = concatenate,") == []
    Path("a.bin").write_bytes(documents(0))
    assert found('tokens { train = "a.bin" }') == []


def test_a_separator_that_does_not_occur() -> None:
    """Said even where it is written, of pairs too, and of the wrong width."""
    Path("a.bin").write_bytes(documents(500))
    text, _ = only('tokens { train = "a.bin", separator = 499 }', "doubtful-separator")
    assert "it is 0 of the first 240 tokens" in text
    write_megatron(Path("pair"), [1, 2, 3] * 40, 8, random.Random(0))
    text, _ = only('megatron { train = "pair", separator = 0 }', "doubtful-separator")
    assert "it is 0 of the first 120 tokens" in text
    Path("a.bin").write_bytes(numpy.array([5, 0, 7, 0, 9, 0] * 30, "<u2").tobytes())
    _, helps = only('tokens { train = "a.bin" }', "doubtful-separator")
    assert helps[0] == "if a token takes 2 bytes, write `dtype = uint16`"
    assert helps[-1] == "if nothing separates documents, write `packing = concatenate`"


@pytest.mark.parametrize(
    "raw", [gzip.compress(b"the text", mtime=0), b"PK\x03\x04 and so on", b"\xff\xfet\0"]
)
def test_text_that_is_none(raw: bytes) -> None:
    Path("text").mkdir()
    Path("text/a").write_text("text")
    Path("text/b").write_bytes(raw)
    text, _ = only('text { train = "text" }', "unusable-data")
    assert re.search(r"`text/b` cannot be used: an? .*, not text", text)


def test_text_with_byte_0() -> None:
    Path("a.txt").write_bytes("the text".encode("utf-16-le"))
    text, _ = only('text { train = "a.txt" }', "doubtful-text")
    assert "8 of its first 16 bytes" in text


def test_files_that_are_not_read() -> None:
    """Named, but for those that nobody takes for data."""
    Path("web").mkdir()
    Path("web/a.jsonl").write_text('{"text": "a"}\n')
    for name in ("README.md", "LICENSE", ".hidden", "_SUCCESS", "a.jsonl.md5"):
        Path("web", name).touch()
    assert found('jsonl { train = "web" }') == []
    Path("web/part-2").touch()
    Path("web/b.jsonlines").touch()
    text, _ = only('jsonl { train = "web" }', "unread-files")
    assert "2 files in `web` are not read: `jsonl` does not read `b.jsonlines`, `part-2`" in text


def text_files() -> None:
    for name in ("data/a.txt", "data/val/b.txt", "val/c.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)


EVALUATED = "eval = eval { every = 1 steps },"


@pytest.mark.parametrize(
    ("train", "validation", "link"),
    [
        ("data", "data/val", None),
        ("data", "data/../data/val", None),
        ("data", "data", None),
        ("data/val", "data", None),
        ("data", "link", lambda: os.symlink("data/val", "link")),
        ("link", "data/val", lambda: os.symlink("data", "link")),
        ("data", "val", lambda: os.link("data/val/b.txt", "val/hard.txt")),
        ("data", "val", lambda: os.symlink("../val", "data/soft")),
        ("data/a.txt", "data/a.txt", None),
    ],
)
def test_validation_that_is_trained_on(
    train: str, validation: str, link: Callable[[], None] | None
) -> None:
    text_files()
    if link is not None:
        link()
    data = f'text {{ train = "{train}", validation = "{validation}" }}'
    text, helps = only(data, "trained-on-validation", more=EVALUATED)
    assert re.search(r"\d of \d validation files are trained on too: `.*` is one of them", text)
    assert helps == (f"move the validation files out of `{train}`",)


def test_validation_of_its_own() -> None:
    text_files()
    assert found('text { train = "data", validation = "val" }', more=EVALUATED) == []


def test_sources_that_share_files() -> None:
    """Training files of one in another, and the validation files of any in the training of any."""
    text_files()

    def mixture(code: str, more: str = "") -> str:
        return (
            f'mixture {{\n source web {{ data = text {{ train = "data"{more} }}, weight = 1 }}\n'
            f' source code {{ data = text {{ train = "{code}"{more} }}, weight = 1 }}\n}}'
        )

    assert found(mixture("val")) == []
    text, _ = only(mixture("data/val"), "read-twice")
    assert "1 files of source `code` are read by source `web` too: `data/val/b.txt`" in text
    shared = mixture("val", ', validation = "val"')
    assert [slug for slug, _, _ in found(shared, more=EVALUATED)] == ["trained-on-validation"] * 2
