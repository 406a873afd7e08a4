"""Any place of any corpus at once: what is opened and read does not depend on how much there is."""

from __future__ import annotations

import json
import mmap
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from backends.reference.data import place
from tests.loader.files import megatron_index, words, write
from tests.loader.programs import CPU, Layout, Loader, Setting, numbers, table

TRILLION = 10**12
SEQ_LEN = 64
LAYOUT = Layout(microbatch=4)
SETTING = {data: Setting(data, SEQ_LEN, vocab=2**16) for data in ("tokens", "shards", "megatron")}


class Counted:
    """Maps that a loader makes from now on, and bytes that it reads of them."""

    def __init__(self, program: Loader) -> None:
        self.maps, self.read = 0, 0
        fake = SimpleNamespace(**{**vars(mmap), "mmap": self.map_of()})
        vars(program)["mmap"] = fake

    def map_of(self) -> type[object]:
        counted = self

        class Map:
            def __init__(self, file: int, length: int, access: int) -> None:
                counted.maps += 1
                self.real = mmap.mmap(file, length, access=access)

            def __getitem__(self, key: slice) -> bytes:
                counted.read += len(piece := self.real[key])
                return piece

        return Map


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that are opened or stat-ed through `Path`."""
    seen: list[str] = []
    for name in ("open", "stat", "read_bytes"):
        real = getattr(Path, name)

        def call(self: Path, *arguments: object, real: object = real, **named: object) -> object:
            seen.append(self.name)
            assert callable(real)
            return real(self, *arguments, **named)

        monkeypatch.setattr(Path, name, call)
    return seen


def far(tokens: int, seed: int) -> tuple[int, list[int]]:
    """A position deep in the third epoch, and where the rows of its step stand in the corpus."""
    sequences = (tokens - 1) // SEQ_LEN
    position = (2 * sequences + sequences // 3) * SEQ_LEN
    at = range(position, position + LAYOUT.microbatch * SEQ_LEN, SEQ_LEN)
    return position, [place(each, sequences, SEQ_LEN, seed) for each in at]


def row(number: int) -> list[int]:
    """Tokens that stand nowhere else, and one after them."""
    return [1 + 100 * number + i for i in range(SEQ_LEN + 1)]


def sparse(path: Path, tokens: int, width: int, rows: list[tuple[int, list[int]]]) -> None:
    """A file with holes: `rows` where they are told to stand, else zeros that lie on no disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(tokens * width)
        for start, content in rows:
            file.seek(start * width)
            file.write(words(content, "I" if width == 4 else "H"))


def test_a_trillion_tokens_in_one_file(tmp_path: Path, watched: list[str]) -> None:
    """4 TB, more than any memory: such a file can be mapped for reading only."""
    setting = SETTING["tokens"]
    position, starts = far(TRILLION, setting.seed)
    sparse(tmp_path / "a.bin", TRILLION, 4, [(at, row(i)) for i, at in enumerate(starts)])
    program = setting.rank(LAYOUT)
    counted = Counted(program)
    watched.clear()
    corpus = program.Corpus(str(tmp_path))
    assert "a.bin" in watched
    assert (counted.maps, counted.read) == (1, 4)  # the last token, which should end a document
    (batch,) = program.step_batches(corpus, position, CPU)
    assert table(batch.tokens) == [row(i)[:-1] for i in range(4)]
    assert table(batch.targets) == [row(i)[1:] for i in range(4)]
    assert (counted.maps, counted.read) == (1, 4 + 4 * (SEQ_LEN + 1) * 4)


def test_a_trillion_tokens_in_shards(tmp_path: Path, watched: list[str]) -> None:
    """Ten thousand of them, of which only those are opened that the batch is in."""
    setting, shards = SETTING["shards"], 10_000
    each = TRILLION // shards
    position, starts = far(TRILLION, setting.seed)
    for i, at in enumerate(starts):
        assert at % each + SEQ_LEN < each, "rows that stand in one shard"
        sparse(tmp_path / f"{at // each}.bin", each, 2, [(at % each, row(i))])
    entries = [
        {"file": f"{i}.bin", "dtype": "uint16", "tokens": each, "sha256": ""} for i in range(shards)
    ]
    head = {"format": "llamac shards 1", "separator": 0, "largest": 500}
    index = {**head, "sources": {"": [0, TRILLION]}, "shards": entries}
    write(tmp_path / "index.json", json.dumps(index).encode())
    program = setting.rank(LAYOUT)
    counted = Counted(program)
    watched.clear()
    corpus = program.Corpus(str(tmp_path))
    assert {*watched} == {"index.json"}
    (batch,) = program.step_batches(corpus, position, CPU)
    assert table(batch.tokens) == [row(i)[:-1] for i in range(4)]
    assert {*watched} == {"index.json", *(f"{at // each}.bin" for at in starts)}
    assert (counted.maps, counted.read) == (4, 4 * (SEQ_LEN + 1) * 2)


def test_megatron_pairs_are_opened_when_they_are_read(tmp_path: Path, watched: list[str]) -> None:
    """Of each, the index and the size at first; a batch opens no more than it is in."""
    names = [f"{i:02}" for i in range(30)]
    for i, name in enumerate(names):
        write(tmp_path / f"{name}.bin", words([i] * 1000, "H"))
        write(tmp_path / f"{name}.idx", megatron_index([1000], [0, 1], 8))
    program = SETTING["megatron"].rank(LAYOUT)
    counted = Counted(program)
    corpus = program.Corpus(str(tmp_path))
    assert (counted.maps, counted.read) == (1, 2)  # the last token, which should end a document
    watched.clear()
    (batch,) = program.step_batches(corpus, 0, CPU)
    within = {f"{i:02}.bin" for row in table(batch.tokens) for i in row}
    assert within <= {*watched}
    assert len({*watched}) <= 2 * LAYOUT.microbatch


def test_many_files_leave_descriptors_for_others(tmp_path: Path) -> None:
    """A map holds one; Linux gives a process 1,024 unless it is told otherwise."""
    for i in range(600):
        write(tmp_path / f"{i:03}.bin", words([i] * 10))
    corpus = SETTING["tokens"].one().Corpus(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, before + 400), hard))
    try:
        assert numbers(corpus.read(0, 6000)) == [i for i in range(600) for _ in range(10)]
        assert len(os.listdir("/proc/self/fd")) < before + 400
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_tokens_cannot_be_written_to(tmp_path: Path) -> None:
    """A batch is a copy: what training does with it leaves the files alone."""
    write(tmp_path / "a.bin", words([*range(1, 1 + 2 * SEQ_LEN)]))
    before = (tmp_path / "a.bin").read_bytes()
    (tmp_path / "a.bin").chmod(0o444)
    program = SETTING["tokens"].one()
    corpus = program.Corpus(str(tmp_path))
    read = corpus.read(0, 50)
    read.zero_()
    assert numbers(corpus.read(0, 50)) == [*range(1, 51)]
    assert (tmp_path / "a.bin").read_bytes() == before
