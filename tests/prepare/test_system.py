"""Where the system is in the way: files that may not be read, folders that may not be written, a
disk that is full.

Data that cannot be read is an error of the spec that names it, with exit code 1; what cannot be
written is none, with exit code 2. All of it in processes of their own, whose rights are taken away.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.prepare.calling import finished
from tests.prepare.corpora import spec, texts, write_lines

GOOD = b'{"text": "good"}\n'

# Root may read and write everything; without these rights it is like anybody else.
WITHOUT_RIGHTS = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)
PROCESSES = pytest.mark.parametrize("processes", ["1", "2"])


@PROCESSES
def test_an_unreadable_file(tmp_path: Path, processes: str) -> None:
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web" }'))
    (tmp_path / "web").mkdir()
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / "web" / name).write_bytes(GOOD)
    (tmp_path / "web" / "b.jsonl").chmod(0)
    done = finished(tmp_path, "--processes", processes, before=WITHOUT_RIGHTS)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error[unusable-data]: `web/b.jsonl` cannot be used" in done.stderr
    assert "^ Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web" }'))
    (tmp_path / "web" / "inner").mkdir(parents=True)
    for name in ("a.jsonl", "inner/b.jsonl"):
        (tmp_path / "web" / name).write_bytes(GOOD)
    (tmp_path / "web" / "inner").chmod(0)
    done = finished(tmp_path, before=WITHOUT_RIGHTS)
    (tmp_path / "web" / "inner").chmod(0o755)
    assert done.returncode == 1
    assert "error[unusable-data]: `web/inner` cannot be used" in done.stderr
    assert "^ Permission denied" in done.stderr


@PROCESSES
def test_a_folder_that_cannot_be_written(tmp_path: Path, processes: str) -> None:
    """No fault of the data, which the error does not name."""
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web" }'))
    (tmp_path / "web").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / "web" / name).write_bytes(GOOD)
    (tmp_path / "prepared" / "main" / "train").mkdir(parents=True)
    (tmp_path / "prepared" / "main" / "train").chmod(0o555)
    done = finished(tmp_path, "--processes", processes, before=WITHOUT_RIGHTS)
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()
    assert said[0] == "train: preparing 0.0 MiB"
    assert said[1].startswith("error: prepared/main/train/shard-0000")
    assert said[1].endswith(": Permission denied")
    assert len(said) == 2


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web.jsonl" }'))
    (tmp_path / "web.jsonl").write_bytes(GOOD)
    (tmp_path / "prepared").write_text("a file")
    done = finished(tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: prepared/main/train: Not a directory"]


@PROCESSES
def test_a_disk_that_is_full(tmp_path: Path, processes: str) -> None:
    """Files may have 4 KiB here; with more room, the command goes on where it was."""
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web" }'))
    (tmp_path / "web").mkdir()
    write_lines(tmp_path / "web" / "a.jsonl", texts(["short"]))
    write_lines(tmp_path / "web" / "b.jsonl", texts(["x" * 100_000]))
    done = finished(tmp_path, "--processes", processes, before=("prlimit", "--fsize=4096"))
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()
    assert said[1:] == ["error: prepared/main/train/shard-00001.bin: File too large"]
    done = finished(tmp_path, "--processes", processes)
    assert done.returncode == 0
    assert "100,007 tokens of 2 documents in 2 shards" in done.stderr
    assert not [*tmp_path.rglob("*.partial")]


def test_every_error_is_the_same_with_more_processes(tmp_path: Path) -> None:
    """Problems cross from a worker to the command whole."""
    (tmp_path / "web").mkdir()
    (tmp_path / "run.llama").write_text(spec('jsonl { train = "web" }'))
    write_lines(tmp_path / "web" / "a.jsonl", texts(["fine"]))
    (tmp_path / "web" / "b.jsonl").write_bytes(GOOD + b"{}\n")
    one, two = (finished(tmp_path, "--processes", count, "-o", count) for count in ("1", "2"))
    assert "`web/b.jsonl:2` cannot be used" in two.stderr
    assert (one.returncode, one.stderr) == (two.returncode, two.stderr) == (1, two.stderr)
