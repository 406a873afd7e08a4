"""The writer of output directories, interrupted by an error or by death at any call."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llamac.output import exchange
from tests.face.outputs import FIRST, FOREIGN, SECOND, add_foreign, contents, put


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here pulls a plug, so none needs to wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "beside" / "out"


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
