"""What was prepared is kept, as long as it is of the same, and whole: after any end, or a change.

Interrupted runs are real processes that are killed; their result is compared, byte by byte, with
that of a run that nobody touched.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from time import sleep

import pytest

from llamac.prepare.prepare import only_one
from tests.prepare.calling import (
    PATIENCE,
    Prepare,
    finished,
    group_of,
    started,
    wait_until,
)
from tests.prepare.corpora import (
    END,
    as_bytes,
    as_tokens,
    contents,
    read,
    small_tokenizer,
    spec,
    texts,
    write_lines,
    write_parquet,
)

TRAIN = Path("prepared/main/train")
UNIT = 10_000
WEB = 'jsonl { train = "web" }'


def large(folder: Path) -> list[str]:
    """A spec in `folder` and its data, which make some 90 units; its documents."""
    documents = [f"document {number} " + "word " * (number % 40) for number in range(12_000)]
    (folder / "run.llama").write_text(spec('jsonl { train = "web.jsonl" }'))
    write_lines(folder / "web.jsonl", texts(documents))
    return documents


def finished_shards(folder: Path) -> dict[str, tuple[int, int]]:
    """Those with a record: which file each is, and when it was written."""
    stats = {
        record.stem: record.with_suffix(".bin").stat() for record in folder.glob("shard-*.json")
    }
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def killed_again_and_again(folder: Path, kills: int, wait: Callable[[int], None]) -> int:
    """Start and kill the command so often, in the middle, after `wait(shards there before)`. Even
    times it alone, so that its workers are left behind; odd times all of its processes. How many
    shards were there at the last time."""
    train, there = folder / "killed" / "train", 0
    for number in range(kills):
        before = finished_shards(train)
        with started(folder, "--processes", "2", "-o", "killed", unit=UNIT) as process:
            wait(len(before))
            (os.kill if number % 2 == 0 else os.killpg)(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            wait_until(lambda leader=process.pid: not group_of(leader))
        now = finished_shards(train)
        assert {name: now[name] for name in before} == before  # none was made again
        there = len(now)
    return there


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    documents = large(tmp_path)
    whole = finished(tmp_path, "--processes", "1", "-o", "whole", unit=UNIT)
    assert whole.returncode == 0
    expected = read(tmp_path / "whole" / "train")
    assert expected.tokens == as_bytes(documents)
    assert len(expected.shards) > 60
    train = tmp_path / "killed" / "train"

    def until_some_more(before: int) -> None:
        wait_until(lambda: len([*train.glob("shard-*.json")]) >= before + 5)

    there = killed_again_and_again(tmp_path, 4, until_some_more)
    assert 20 <= there < len(expected.shards)
    assert not (train / "index.json").exists()
    kept = finished_shards(train)
    last = finished(tmp_path, "--processes", "2", "-o", "killed", unit=UNIT)
    assert f"in {len(expected.shards)} shards, {there} kept\n" in last.stderr
    assert {name: finished_shards(train)[name] for name in kept} == kept
    assert contents(train) == contents(tmp_path / "whole" / "train")


@pytest.mark.long
def test_killed_at_any_instant_it_goes_on(tmp_path: Path) -> None:
    large(tmp_path)
    assert finished(tmp_path, "-o", "whole", unit=UNIT).returncode == 0
    drawn = random.Random(0)
    for _ in range(8):
        killed_again_and_again(tmp_path, 3, lambda _before: sleep(drawn.uniform(0, 0.6)))
        finished(tmp_path, "--processes", "2", "-o", "killed", unit=UNIT)
        assert contents(tmp_path / "killed" / "train") == contents(tmp_path / "whole" / "train")
        for file in (tmp_path / "killed" / "train").iterdir():
            file.unlink()


def test_any_number_of_processes_makes_the_same(tmp_path: Path) -> None:
    large(tmp_path)
    made: list[dict[str, bytes]] = []
    for count in ("1", "2", "5"):
        assert finished(tmp_path, "--processes", count, "-o", count, unit=UNIT).returncode == 0
        made.append(contents(tmp_path / count))
    assert made[0] == made[1] == made[2]


def test_the_second_time_nothing_is_done(prepare: Prepare) -> None:
    three_files()
    first = prepare(WEB)
    assert "prepared/main/train: 19 tokens of 4 documents in 3 shards, 0 kept\n" in first.output
    before, shards = contents(TRAIN), finished_shards(TRAIN)
    second = prepare(WEB)
    assert second.output == "prepared/main/train: 19 tokens of 4 documents in 3 shards, 3 kept\n"
    assert (contents(TRAIN), finished_shards(TRAIN)) == (before, shards)


def test_an_index_is_gone_while_its_shards_are_made_anew(prepare: Prepare) -> None:
    three_files()
    assert prepare(WEB).exit_code == 0
    Path("web/b.jsonl").write_text("{}\n")
    assert prepare(WEB).exit_code == 1
    assert not (TRAIN / "index.json").exists()


def three_files() -> None:
    Path("web").mkdir()
    write_lines(Path("web/a.jsonl"), texts(["one"]))
    write_lines(Path("web/b.jsonl"), texts(["two", "three"]))
    write_lines(Path("web/c.jsonl"), texts(["four"]))


CHANGES: list[tuple[str, Callable[[], object], list[str], int]] = [
    (
        "one has other text of the same size",
        lambda: write_lines(Path("web/b.jsonl"), texts(["owt", "eerht"])),
        ["one", "owt", "eerht", "four"],
        2,
    ),
    (
        "one grows",
        lambda: write_lines(Path("web/c.jsonl"), texts(["four", "five"])),
        ["one", "two", "three", "four", "five"],
        2,
    ),
    ("one is gone", lambda: Path("web/c.jsonl").unlink(), ["one", "two", "three"], 2),
    (
        "one comes last",
        lambda: write_lines(Path("web/d.jsonl"), texts(["five"])),
        ["one", "two", "three", "four", "five"],
        3,
    ),
    (
        "one comes first, and all others have other numbers",
        lambda: write_lines(Path("web/0.jsonl"), texts(["zero"])),
        ["zero", "one", "two", "three", "four"],
        0,
    ),
    (
        "two are exchanged",
        lambda: exchange(Path("web/a.jsonl"), Path("web/c.jsonl")),
        ["four", "two", "three", "one"],
        1,
    ),
]


def exchange(one: Path, other: Path) -> None:
    one.rename("aside")
    other.rename(one)
    Path("aside").rename(other)


@pytest.mark.parametrize(
    ("change", "expected", "kept"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_of_files_that_changed_the_shards_are_made_again(
    prepare: Prepare, change: Callable[[], object], expected: list[str], kept: int
) -> None:
    three_files()
    assert prepare(WEB).exit_code == 0
    change()
    result = prepare(WEB)
    assert result.output.endswith(f" shards, {kept} kept\n")
    assert read(TRAIN).tokens == as_bytes(expected)
    # What the index does not name is not left lying either.
    named = {
        f"shard-{number:05}.{end}"
        for number in range(len(read(TRAIN).shards))
        for end in ("bin", "json")
    }
    assert {*contents(TRAIN)} == {"index.json", *named}


def test_another_tokenizer_separator_or_field(prepare: Prepare) -> None:
    first = small_tokenizer(Path("one.json"), "one")
    write_lines(Path("web.jsonl"), [{"text": "the cat", "title": "in the rain again"}])

    def data(tokenizer: str = "one", separator: str = END, field: str = "text") -> str:
        return (
            f'jsonl {{ train = "web.jsonl", text = "{field}", '
            f'tokenizer = "{tokenizer}.json", separator = "{separator}" }}'
        )

    def prepared(data: str) -> tuple[list[int], bool]:
        """Tokens, and whether the shard was kept."""
        result = prepare(data, vocab=512)
        assert result.exit_code == 0
        return read(TRAIN).tokens, result.output.endswith("1 kept\n")

    assert prepared(data()) == (as_tokens(first, ["the cat"]), False)
    assert prepared(data()) == (as_tokens(first, ["the cat"]), True)
    assert prepared(data(separator="!")) == (as_tokens(first, ["the cat"], "!"), False)
    assert prepared(data(field="title")) == (as_tokens(first, ["in the rain again"]), False)
    # Other pairs of letters, or the same file elsewhere.
    other = small_tokenizer(Path("two.json"), "cats rain cats rain")
    assert as_tokens(other, ["the cat"]) != as_tokens(first, ["the cat"])
    assert prepared(data("two")) == (as_tokens(other, ["the cat"]), False)
    Path("copy.json").write_bytes(Path("two.json").read_bytes())
    assert prepared(data("copy")) == (as_tokens(other, ["the cat"]), True)
    # Another content of the same file.
    Path("copy.json").write_bytes(Path("one.json").read_bytes())
    assert prepared(data("copy")) == (as_tokens(first, ["the cat"]), False)


def test_units_of_another_size(prepare: Prepare, unit_of: Callable[[int], None]) -> None:
    """As when a corpus has doubled: files that are as they were make other shards."""
    documents = [f"document {number}" for number in range(30)]
    write_lines(Path("web.jsonl"), texts(documents))
    for unit in (64, 128, 100_000, 128):
        unit_of(unit)
        assert prepare('jsonl { train = "web.jsonl" }').exit_code == 0
        assert read(TRAIN).tokens == as_bytes(documents)


def test_another_format_of_the_same_name(prepare: Prepare) -> None:
    write_lines(Path("data"), texts(["as lines"]))
    assert prepare('jsonl { train = "data" }').exit_code == 0
    write_parquet(Path("data"), ["as rows"])
    assert prepare('parquet { train = "data" }').exit_code == 0
    assert read(TRAIN).tokens == as_bytes(["as rows"])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


SPOILT: list[tuple[str, Callable[[], object], int]] = [
    ("a bit of a shard", lambda: flip(TRAIN / "shard-00001.bin"), 2),
    ("the end of a shard", lambda: os.truncate(TRAIN / "shard-00001.bin", 3), 2),
    ("a shard", lambda: (TRAIN / "shard-00001.bin").unlink(), 2),
    ("a record", lambda: (TRAIN / "shard-00001.json").unlink(), 2),
    ("a record is no JSON", lambda: (TRAIN / "shard-00001.json").write_bytes(b"\xff{"), 2),
    ("a record is no record", lambda: (TRAIN / "shard-00001.json").write_text("[1]"), 2),
    ("the record of another", lambda: exchange(*records(0, 1)), 1),
    ("shards are exchanged", lambda: exchange(*(r.with_suffix(".bin") for r in records(0, 1))), 1),
    ("the index", lambda: (TRAIN / "index.json").unlink(), 3),
    ("the index is no JSON", lambda: (TRAIN / "index.json").write_text("{"), 3),
    ("what a killed process left", lambda: (TRAIN / "shard-00001.bin.77.partial").touch(), 3),
    ("everything", lambda: [file.unlink() for file in TRAIN.iterdir()], 0),
]


def records(*numbers: int) -> list[Path]:
    return [TRAIN / f"shard-{number:05}.json" for number in numbers]


@pytest.mark.parametrize(("spoil", "kept"), [s[1:] for s in SPOILT], ids=[s[0] for s in SPOILT])
def test_what_was_spoilt_is_made_again(
    prepare: Prepare, spoil: Callable[[], object], kept: int
) -> None:
    three_files()
    assert prepare(WEB).exit_code == 0
    before = contents(TRAIN)
    spoil()
    assert prepare(WEB).output.endswith(f" 3 shards, {kept} kept\n")
    assert contents(TRAIN) == before


def test_an_error_leaves_what_was_finished(prepare: Prepare) -> None:
    """Mended data costs its own shards only."""
    three_files()
    whole = Path("web/b.jsonl").read_bytes()
    Path("web/b.jsonl").write_bytes(b"{")
    assert prepare(WEB).exit_code == 1
    assert [*finished_shards(TRAIN)] == ["shard-00000"]
    Path("web/b.jsonl").write_bytes(whole)
    assert prepare(WEB).output.endswith(" 3 shards, 1 kept\n")
    assert read(TRAIN).tokens == as_bytes(["one", "two", "three", "four"])


def test_a_shard_that_is_lost_meanwhile_is_told(tmp_path: Path) -> None:
    """Such as by another preparation into the same folder: an index without it would be a loss
    that nobody sees."""
    large(tmp_path)
    train = tmp_path / "prepared" / "main" / "train"
    with started(tmp_path, "--processes", "1", unit=UNIT) as process:
        wait_until(lambda: (train / "shard-00003.json").exists())
        (train / "shard-00001.json").unlink()
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert said.splitlines()[1:] == [
        "error: prepared/main/train/shard-00001.json: another process changed it meanwhile; "
        "start again"
    ]
    assert not (train / "index.json").exists()
    assert finished(tmp_path, unit=UNIT).returncode == 0


def test_a_second_prepare_in_the_same_folder_is_refused(prepare: Prepare) -> None:
    """While the first is at work; a killed one leaves no lock behind, nor any file."""
    write_lines(Path("web.jsonl"), texts(["one", "two"]))
    data = 'jsonl { train = "web.jsonl" }'
    assert prepare(data).exit_code == 0
    before = contents(Path("prepared"))
    with only_one(Path("prepared/main/train")):
        done = finished(Path())
        assert "another llamac prepares this folder" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode not in (0, 130)
        assert prepare(data, "-o", "other").exit_code == 0
    assert finished(Path()).returncode == 0
    assert contents(Path("prepared")) == before
