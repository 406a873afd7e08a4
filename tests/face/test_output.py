"""The writer of output directories: whole or untouched, and never over an edit."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamac.output import Edited, Refused, Written, exchange, write

SPEC = "0" * 64
FIRST = {
    "train.py": "one\n",
    "model.py": "same\n",
    "launch/local.sh": "echo 1\n",
    "gone/x.py": "x\n",
}
SECOND = {"train.py": "two\n", "model.py": "same\n", "launch/local.sh": "echo 2\n", "new.py": "n\n"}
FOREIGN = {"runs/laptop/metrics.jsonl": "{}\n", "notes.txt": "mine\n", "launch/my.sh": "mine\n"}
EXECUTABLE = ("launch/local.sh",)


def put(target: Path, files: dict[str, str], **options: bool) -> Written | Edited | Refused:
    executable = [name for name in EXECUTABLE if name in files]
    return write(target, files, spec=SPEC, executable=executable, **options)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "MANIFEST.json"
    }


def add_foreign(target: Path) -> None:
    for name, text in FOREIGN.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here pulls a plug, so none needs to wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "beside" / "out"


def test_writes_files_and_a_manifest_of_them(target: Path) -> None:
    assert put(target, FIRST) == Written(target, changed=True)
    assert contents(target) == FIRST
    manifest = json.loads((target / "MANIFEST.json").read_text())
    assert manifest["spec"] == SPEC
    # From `printf 'one\n' | sha256sum`.
    assert manifest["files"]["train.py"] == (
        "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"
    )
    assert sorted(manifest["files"]) == sorted(FIRST)
    assert os.listdir(target.parent) == ["out"]


def test_replaces_what_is_ours_and_keeps_the_rest(target: Path) -> None:
    put(target, FIRST)
    add_foreign(target)
    (target / "empty").mkdir()
    (target / "link").symlink_to("nowhere")
    inode = (target / "notes.txt").stat().st_ino
    assert put(target, SECOND) == Written(target, changed=True)
    assert contents(target) == SECOND | FOREIGN
    assert (target / "empty").is_dir()
    assert not (target / "gone").exists()
    assert os.readlink(target / "link") == "nowhere"
    assert (target / "notes.txt").stat().st_ino == inode
    assert os.listdir(target.parent) == ["out"]


def test_the_same_again_touches_nothing(target: Path) -> None:
    put(target, FIRST)
    before = target.stat().st_ino
    assert put(target, FIRST) == Written(target, changed=False)
    assert target.stat().st_ino == before


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_do_not_depend_on_the_umask(target: Path, mask: int) -> None:
    target.parent.mkdir()
    old = os.umask(mask)
    try:
        put(target, FIRST)
    finally:
        os.umask(old)
    modes = {name: stat.S_IMODE((target / name).stat().st_mode) for name in [".", "launch", *FIRST]}
    assert modes == {
        ".": 0o755,
        "launch": 0o755,
        "train.py": 0o644,
        "model.py": 0o644,
        "launch/local.sh": 0o755,
        "gone/x.py": 0o644,
    }


def test_an_edit_is_refused_with_its_diff(target: Path) -> None:
    put(target, FIRST)
    (target / "train.py").write_text("one\nmine\n")
    (target / "gone/x.py").write_text("y\n")
    result = put(target, SECOND)
    assert isinstance(result, Edited)
    assert [file.name for file in result.files] == ["gone/x.py", "train.py"]
    assert result.files[1].diff == (
        "--- train.py (as it is)\n+++ train.py (as it would be written)\n"
        "@@ -1,2 +1 @@\n-one\n-mine\n+two\n"
    )
    assert contents(target) == FIRST | {"train.py": "one\nmine\n", "gone/x.py": "y\n"}


def test_force_keeps_every_backup(target: Path) -> None:
    put(target, FIRST)
    for number in range(3):
        (target / "train.py").write_text(f"edit {number}\n")
        result = put(target, FIRST, force=True)
        assert isinstance(result, Written)
    assert contents(target) == FIRST | {
        "train.py.orig": "edit 0\n",
        "train.py.orig.1": "edit 1\n",
        "train.py.orig.2": "edit 2\n",
    }


def test_a_file_in_the_way_is_an_edit_too(target: Path) -> None:
    target.mkdir(parents=True)
    (target / "train.py").write_text("somebody's\n")
    (target / "MANIFEST.json").write_text("[]")
    result = put(target, FIRST)
    assert isinstance(result, Edited)
    assert [file.name for file in result.files] == ["MANIFEST.json", "train.py"]
    assert put(target, FIRST, force=True) == Written(
        target, changed=True, backups=("MANIFEST.json.orig", "train.py.orig")
    )
    assert (target / "train.py.orig").read_text() == "somebody's\n"


def test_an_edit_that_the_new_program_agrees_with_is_no_conflict(target: Path) -> None:
    put(target, FIRST)
    (target / "train.py").write_text(SECOND["train.py"])
    assert put(target, SECOND) == Written(target, changed=True)


def test_a_deleted_file_comes_back(target: Path) -> None:
    put(target, FIRST)
    (target / "train.py").unlink()
    assert put(target, FIRST) == Written(target, changed=True)
    assert contents(target) == FIRST


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda t: t.write_text(""), "not a directory"),
        (lambda t: t.symlink_to(t.parent), "symbolic link"),
        (lambda t: os.mkfifo(t), "not a directory"),
        (lambda t: (t / "train.py").mkdir(parents=True), "`train.py`, which is not a plain file"),
        (lambda t: (t.mkdir(), (t / "launch").symlink_to("/")), "`launch`, which is not a plain"),
        (lambda t: (t.mkdir(), (t / "train.py").symlink_to("x")), "`train.py`, which is not"),
    ],
)
def test_odd_targets_are_refused(target: Path, make: Callable[[Path], object], reason: str) -> None:
    target.parent.mkdir()
    make(target)
    result = put(target, FIRST)
    assert isinstance(result, Refused)
    assert reason in result.reason
    assert os.listdir(target.parent) == ["out"]


def test_the_current_directory_is_not_pulled_away(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target / "deep").mkdir(parents=True)
    monkeypatch.chdir(target / "deep")
    result = put(Path(".."), FIRST)
    assert isinstance(result, Refused)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/../x",
        "a//x",
        "",
        ".",
        "-x",
        "a/-x",
        "~/x",
        "a b",
        "x\n",
        "a/" * 300 + "x",
        "MANIFEST.json",
        "evidence/x",
        "runs/x",
        "checkpoints/x",
    ],
)
def test_names_that_leave_the_directory_or_are_taken(target: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        write(target, {name: ""}, spec=SPEC)
    assert not target.parent.exists()


def test_without_exchange_the_result_is_the_same(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_renameat2", lambda *_: False)
    put(target, FIRST)
    add_foreign(target)
    put(target, SECOND)
    assert contents(target) == SECOND | FOREIGN
    assert os.listdir(target.parent) == ["out"]


# Every way in which the writer touches the file system, by name in `os`; the first ones change it.
CHANGING = ("open", "fsync", "mkdir", "rmdir", "chmod", "fchmod", "link", "unlink", "rename")
CALLS = (*CHANGING, "close", "fdopen", "fstat", "lstat", "stat", "listdir", "scandir")


def interrupt(
    patch: pytest.MonkeyPatch, calls: tuple[str, ...], at: int, act: Callable[[], None]
) -> Callable[[], int]:
    """Make number `at` of these calls do `act` first; the result counts the calls so far."""
    count = 0

    def wrap(real: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == at:
                act()
            return real(*arguments, **named)

        return wrapped

    for name in calls:
        patch.setattr(os, name, wrap(getattr(os, name)))
    patch.setattr(exchange, "_renameat2", wrap(exchange._renameat2))
    return lambda: count


def number_of(calls: tuple[str, ...], folder: Path) -> int:
    target = prepared(folder)
    with pytest.MonkeyPatch.context() as patch:
        count = interrupt(patch, calls, 0, lambda: None)
        put(target, SECOND)
        return count()


def prepared(folder: Path) -> Path:
    target = folder / "beside" / "out"
    put(target, FIRST)
    add_foreign(target)
    return target


def assert_whole(target: Path) -> None:
    assert contents(target) in (FIRST | FOREIGN, SECOND | FOREIGN)
    listed = json.loads((target / "MANIFEST.json").read_text())["files"]
    assert sorted(listed) == sorted(FIRST if "gone/x.py" in contents(target) else SECOND)


def assert_recovers(target: Path) -> None:
    put(target, SECOND)
    assert contents(target) == SECOND | FOREIGN
    assert os.listdir(target.parent) == ["out"]


@pytest.mark.parametrize(("code", "calls"), [(errno.EIO, CALLS), (errno.ENOSPC, CHANGING)])
def test_an_error_at_any_call_leaves_it_whole(
    tmp_path: Path, code: int, calls: tuple[str, ...]
) -> None:
    for at in range(1, number_of(calls, tmp_path / "count") + 1):
        target = prepared(tmp_path / str(at))

        def fail() -> None:
            raise OSError(code, os.strerror(code))

        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, calls, at, fail)
            with contextlib.suppress(OSError):
                put(target, SECOND)
        assert_whole(target)
        assert_recovers(target)


def test_death_at_any_call_leaves_it_whole(tmp_path: Path) -> None:
    """Between two calls that change something, one moment is as good as another."""
    total = number_of(CHANGING, tmp_path / "count")
    deaths = 0
    for at in range(1, total + 1):
        target = prepared(tmp_path / str(at))
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                interrupt(patch, CHANGING, at, lambda: os._exit(9))
                put(target, SECOND)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        deaths += os.waitstatus_to_exitcode(status) == 9
        assert_whole(target)
        assert_recovers(target)
    assert deaths == total


def test_death_between_the_two_renames_of_the_fallback(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RENAME_EXCHANGE the target may be missing for a moment; the next call heals it."""
    put(target, FIRST)
    add_foreign(target)
    monkeypatch.setattr(exchange, "_renameat2", lambda *_: False)
    real, renames = os.rename, iter([True, False])
    child = os.fork()
    if child == 0:
        os.rename = lambda a, b: real(a, b) if next(renames) else os._exit(9)
        put(target, SECOND)
    os.waitpid(child, 0)
    assert not target.exists()
    assert_recovers(target)


def test_an_edit_made_meanwhile_is_kept(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(target, FIRST)
    real = exchange.swap

    def swap(staged: Path, where: Path, aside: Path) -> Path:
        (where / "train.py").write_text("late edit\n")
        (where / "late.txt").write_text("late file\n")
        return real(staged, where, aside)

    monkeypatch.setattr(exchange, "swap", swap)
    put(target, SECOND)
    assert contents(target) == SECOND | {"train.py.orig": "late edit\n", "late.txt": "late file\n"}


names = st.sampled_from(["a.py", "b.py", "d/a.py", "d/b.py", "a.py.orig"])
trees = st.dictionaries(names, st.sampled_from(["1\n", "2\n", ""]), min_size=1)


@settings(max_examples=150)
@given(first=trees, second=trees, edits=trees, force=st.booleans())
def test_nothing_that_somebody_wrote_is_lost(
    first: dict[str, str], second: dict[str, str], edits: dict[str, str], force: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hold_the_law(Path(folder) / "out", first, second, edits, force)


def hold_the_law(
    target: Path, first: dict[str, str], second: dict[str, str], edits: dict[str, str], force: bool
) -> None:
    write(target, first, spec=SPEC)
    for name, text in edits.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
    before = contents(target)
    result = write(target, second, spec=SPEC, force=force)
    after = contents(target)
    users = {name: text for name, text in edits.items() if first.get(name) != text}
    endangered = {name for name, text in users.items() if name in {*first, *second}} - {
        name for name, text in users.items() if second.get(name) == text
    }
    if endangered and not force:
        assert isinstance(result, Edited)
        assert {file.name for file in result.files} == endangered
        assert after == before
        return
    assert isinstance(result, Written)
    assert {name: after.get(name) for name in second} == second
    for name, text in users.items():
        kept = [after[n] for n in after if n == name or n.startswith(f"{name}.orig")]
        assert text in kept
    assert len(result.backups) == len(endangered)


def refuse_links(path: Path, target: Path, *, follow_symlinks: bool) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link", str(path), None, str(target))


def test_a_mount_inside_is_refused_and_left_alone(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(target, FIRST)
    add_foreign(target)
    before = contents(target)
    monkeypatch.setattr(os, "link", refuse_links)
    done = put(target, SECOND)
    assert isinstance(done, Refused)
    assert done.reason.startswith("`launch/my.sh` in it lies on another file system, ")
    assert done.reason.endswith(f"write to a new folder, such as `{target}/program`")
    assert contents(target) == before
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_a_target_that_is_a_mount_point_is_refused(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(target, FIRST)

    def busy(staged: Path, place: Path, flags: int) -> bool:
        raise OSError(errno.EBUSY, "Device or resource busy", str(staged), None, str(place))

    monkeypatch.setattr(exchange, "_renameat2", busy)
    done = put(target, SECOND)
    assert isinstance(done, Refused)
    assert done.reason.startswith("it is a mount point, ")
    assert contents(target) == FIRST
