"""Data that cannot be used: which file, and why. What may pass by itself is no such error."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.emit import emit
from tests.loader.files import megatron_index, words, write, write_shards
from tests.loader.programs import CPU, Loader, Setting, imported
from tests.programs.support import TEXT, compiled, environment
from tests.programs.support import write as write_program

SEQ_LEN, VOCAB = 8, 100
FORMS = ("text", "tokens", "shards", "megatron")


def loader(data: str) -> Loader:
    return Setting(data, SEQ_LEN, vocab=VOCAB).one()


def read_all(program: Loader, path: Path) -> None:
    """Open the corpus and read more than all of it, as one process would."""
    corpus = program.Corpus(str(path))
    for position in range(0, 20 * SEQ_LEN, SEQ_LEN):
        program.step_batches(corpus, position, CPU)


def write_good(data: str, path: Path, count: int = 10 * SEQ_LEN + 1) -> None:
    """`count` tokens below VOCAB; of text, the last one is the separator that no file has."""
    tokens = [1 + i % (VOCAB - 1) for i in range(count)]
    match data:
        case "shards":
            write_shards(path, {"": tokens})
        case "megatron":
            write(path / "a.bin", words(tokens, "H"))
            write(path / "a.idx", megatron_index([count], [0, 1], 8))
        case "text":
            write(path / "a.txt", bytes(tokens[:-1]))
        case _:
            write(path / "a.bin", words(tokens))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str, by: int) -> Callable[[Path], None]:
    """The file loses its last bytes."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-by])

    return change


def put(name: str, at: int, content: bytes) -> Callable[[Path], None]:
    """Other bytes stand there, in a file of the same length."""

    def change(folder: Path) -> None:
        old = (folder / name).read_bytes()
        (folder / name).write_bytes(old[:at] + content + old[at + len(content) :])

    return change


def index(**changes: object) -> Callable[[Path], None]:
    """Other values in index.json; None: the key is not there."""

    def change(folder: Path) -> None:
        told: dict[str, object] = json.loads((folder / "index.json").read_text()) | changes
        kept = {key: value for key, value in told.items() if value is not None}
        (folder / "index.json").write_text(json.dumps(kept))

    return change


def replace_all(content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "index.json").write_bytes(content)

    return change


def folder_instead(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


# (form, what happens to the folder, what is said): the first shard has 27 tokens of 2 bytes,
# the second 54 of 4
BROKEN: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "an empty folder of text": ("text", remove("a.txt"), r"data' holds 0 tokens, one sequence 9"),
    "an empty folder of tokens": ("tokens", remove("a.bin"), r"data' holds 0 tokens"),
    "a folder without pairs": ("megatron", remove("a.idx"), r"no file in .*data' ends in \.idx"),
    "half a token": ("tokens", cut("a.bin", 1), r"a\.bin' is not a whole number of uint32"),
    "a pair without its tokens": ("megatron", remove("a.bin"), r"a\.bin': No such file"),
    "a pair with fewer tokens": (
        "megatron",
        cut("a.bin", 2),
        r"a\.bin' is 160 bytes, and its index says 162",
    ),
    "a token too large": (
        "tokens",
        put("a.bin", 4 * 77, words([VOCAB])),
        r"a\.bin': token 77, read as uint32, is 100, outside a vocabulary of 100",
    ),
    "a negative token": (
        "tokens",
        put("a.bin", 4 * 11, words([-1], "i")),
        r"a\.bin': token 11, read as uint32, is 4294967295, outside",
    ),
    "a token too large in a pair": (
        "megatron",
        put("a.bin", 2 * 80 - 2, words([65535], "H")),
        r"a\.bin': token 79 is 65535, outside",
    ),
    "a token too large in a shard": (
        "shards",
        put("1.bin", 4 * 40, words([VOCAB])),
        r"1\.bin': token 40 is 100, outside",
    ),
    "an index that tells of one": ("shards", index(largest=VOCAB), r"data' has token 100, outside"),
    "a shard that is missing": ("shards", remove("1.bin"), r"1\.bin': No such file"),
    "a shard that is a folder": ("shards", folder_instead("1.bin"), r"1\.bin'"),
    "a shard that was cut": ("shards", cut("0.bin", 2), r"0\.bin' does not hold 27 tokens"),
    "a shard that was emptied": ("shards", cut("1.bin", 216), r"1\.bin' does not hold 54 tokens"),
    "an index that was cut": ("shards", cut("index.json", 9), r"data': index\.json cannot be used"),
    "an index of bytes": ("shards", replace_all(b"\xff\x00"), r"data': index\.json cannot be used"),
    "an index that is a list": ("shards", replace_all(b"[1]"), r"index\.json cannot be used"),
    "an index of a later form": (
        "shards",
        index(format="llamac shards 2"),
        r"data': index\.json is not of the form `llamac shards 1`",
    ),
    "an index without shards": ("shards", index(shards=None), r"cannot be used: KeyError\('shards"),
    "an index of another dtype": (
        "shards",
        index(shards=[{"file": "0.bin", "dtype": "uint12", "tokens": 27, "sha256": ""}]),
        r"index\.json cannot be used: .*uint12",
    ),
}


@pytest.mark.parametrize("data", FORMS)
def test_nothing_is_wrong_with_good_data(tmp_path: Path, data: str) -> None:
    """So what follows is refused for what was done to it."""
    write_good(data, tmp_path / "data")
    read_all(loader(data), tmp_path / "data")


@pytest.mark.parametrize(("data", "damage", "said"), BROKEN.values(), ids=BROKEN)
def test_the_file_and_the_reason_are_told(
    tmp_path: Path, data: str, damage: Callable[[Path], None], said: str
) -> None:
    write_good(data, tmp_path / "data")
    damage(tmp_path / "data")
    program = loader(data)
    with pytest.raises(program.DataError, match=said):
        read_all(program, tmp_path / "data")


@pytest.mark.parametrize("data", FORMS)
def test_one_token_less_than_a_sequence_takes(tmp_path: Path, data: str) -> None:
    """A sequence and the token after it are just enough."""
    write_good(data, tmp_path / "enough", SEQ_LEN + 1)
    write_good(data, tmp_path / "short", SEQ_LEN)
    program = loader(data)
    read_all(program, tmp_path / "enough")
    with pytest.raises(program.DataError, match=r"short' holds 8 tokens, one sequence 9"):
        program.Corpus(str(tmp_path / "short"))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("text", r"cannot read '.*data': No such file"),
        ("tokens", r"cannot read '.*data': No such file"),
        ("megatron", r"cannot read '.*data\.idx': No such file"),
        ("shards", r"data' is not prepared: .*No such file.*index\.json"),
    ],
)
def test_missing_data(tmp_path: Path, data: str, said: str) -> None:
    program = loader(data)
    with pytest.raises(program.DataError, match=said):
        program.Corpus(str(tmp_path / "data"))


@pytest.mark.parametrize("data", ["text", "tokens", "megatron"])
def test_a_folder_that_cannot_be_listed_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    write_good(data, tmp_path / "data")
    write_good(data, tmp_path / "data" / "inner")
    listed = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("inner"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    program = loader(data)
    with pytest.raises(program.DataError, match=r"cannot read '.*inner': Permission denied"):
        program.Corpus(str(tmp_path / "data"))


@pytest.mark.parametrize("data", ["text", "tokens", "megatron"])
def test_no_data_at_all(data: str) -> None:
    program = loader(data)
    with pytest.raises(program.DataError, match="--data names a file or a folder"):
        program.Corpus("")


def test_a_source_of_a_mixture_that_is_too_short(tmp_path: Path) -> None:
    """A sequence of one source may not go on in the next."""
    write_shards(tmp_path / "mixed", {"web": [1] * 100, "code": [2] * SEQ_LEN})
    rounds = ("MIXTURE", (("web", 1), ("code", 1)))
    program = Setting("mixture", SEQ_LEN, vocab=VOCAB, more=(rounds,)).one()
    with pytest.raises(program.DataError, match="source 'code' holds fewer than 9 tokens"):
        read_all(program, tmp_path / "mixed")


@pytest.mark.parametrize("data", ["text", "tokens"])
@pytest.mark.parametrize("count", [0, 48])
def test_blocks_of_a_run_in_phases(tmp_path: Path, data: str, count: int) -> None:
    """A block and a token are needed there; of no token at all, -1 // 48 are no blocks."""
    every = "checkpoint = checkpoint { every = 2 steps }\n"
    phases = f"{every} phase a {{ steps = 1 }}\n phase b {{ steps = 1, seq_len = 48 }}\n"
    form = f'{data} {{ train = "train" }}'
    whole = TEXT.replace("  steps = 6, seq_len", "  seq_len").replace(every, phases)
    plan = compiled(("train.data", form), ("train.eval", "none"), text=whole)
    text = emit(plan).files["data.py"]
    row = ("a", 10**6, 16, 1, 1, 1, 0.0)
    values = {"BLOCK": 48, "PHASES": (row,), "SEED": 0, "SEPARATOR": 0, "VOCAB": VOCAB}
    values["TOKEN_DTYPE"] = "uint32"
    program = imported(text, values, {"fsdp": 0})
    write_good(data, tmp_path / "data", max(1, count))
    if not count:
        for file in (tmp_path / "data").iterdir():
            file.unlink()
    with pytest.raises(program.DataError, match=f"holds {count} tokens, a block takes 49"):
        program.Corpus(str(tmp_path / "data"))


# Errors of the disk.

LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM)
PASSING = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EINTR)


@pytest.mark.parametrize("number", [*LASTING, *PASSING], ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("data", FORMS)
def test_only_what_lasts_is_an_error_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, number: int
) -> None:
    """Opening any file fails so. The rest fails as it is: it may be gone when the run is started
    again."""
    write_good(data, tmp_path / "data")
    program = loader(data)

    def fail(self: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "open", fail)
    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises((OSError, program.DataError), match=os.strerror(number)) as failed:
        read_all(program, tmp_path / "data")
    assert isinstance(failed.value, program.DataError) == (number in LASTING)
    if isinstance(failed.value, OSError):
        assert failed.value.errno == number


# The whole program.


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process that reads tokens."""
    plan = compiled(
        ("tp", "1"),
        ("dp", "1"),
        ("cluster.node.devices", "1"),
        ("train.data", 'tokens { train = "data" }'),
        ("train.eval", "none"),
        ("train.steps", "3"),
    )
    return write_program(emit(plan), tmp_path_factory.mktemp("program"))


def run(program: Path, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return subprocess.run(
        [sys.executable, str(program / "train.py")],
        cwd=cwd,
        env=environment(**ranks, **address, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_missing_data_end_a_run_for_good(program: Path, tmp_path: Path) -> None:
    done = run(program, tmp_path)
    assert done.returncode == 78
    assert "error: train.data.train: cannot read 'data': No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_outside_the_vocabulary_ends_a_run_for_good(program: Path, tmp_path: Path) -> None:
    """Met by the rank that reads it, in whatever step that is."""
    write(tmp_path / "data", words([*[255] * 1024, *[256] * 2000, 0]))
    done = run(program, tmp_path)
    assert done.returncode == 78
    said = r"error: 'data': token [123],\d{3}, read as uint32, is 256, outside a vocabulary of 256"
    assert re.search(said, done.stderr), done.stderr


STALE = """
import errno, mmap, os

def stale(*arguments, **named):
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "data")

mmap.mmap = stale
"""


def test_a_stale_handle_ends_a_run_that_may_be_started_again(program: Path, tmp_path: Path) -> None:
    """With the traceback of what failed, and no code of the contract."""
    write(tmp_path / "data", words([7] * 2000))
    write(tmp_path / "site" / "sitecustomize.py", STALE.encode())
    done = run(program, tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 1
    assert "Stale file handle" in done.stderr
    assert "Traceback" in done.stderr
