"""The writer of output directories: whole or untouched, and never over an edit."""

from __future__ import annotations

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
from tests.face.outputs import FIRST, FOREIGN, SECOND, SPEC, add_foreign, contents, put


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
