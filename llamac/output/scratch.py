"""A hidden folder beside a target, to build in: locked while we live, removed at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

from llamac.output import exchange


@contextlib.contextmanager
def scratch_beside(target: Path) -> Generator[Path]:
    """A hidden folder beside `target`, locked while we live, and removed at the end."""
    scratch = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        with _locked(scratch):
            yield scratch
    finally:
        _remove(scratch, target)


def clear_leftovers(target: Path) -> None:
    """Remove hidden folders of calls that were killed; a live call's is locked."""
    if not target.parent.is_dir():
        return
    for name in sorted(os.listdir(target.parent)):
        leftover = target.parent / name
        if name.startswith(_prefix(target)) and not leftover.is_symlink():
            with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(leftover):
                _remove(leftover, target)


def _remove(scratch: Path, target: Path) -> None:
    """Nothing in `scratch` is the only one of its kind, but for an old tree that stepped aside."""
    exchange.recover(target, scratch / "old")
    shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _prefix(target: Path) -> str:
    return f".{target.name}.llamac-"
