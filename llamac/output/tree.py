"""Directory trees: write a new one durably, carry over what is not ours, retire the old one.

What is not ours enters the new tree as hard links, so at the moment of the exchange both trees are
complete: whoever is interrupted, and whenever, leaves one of them at the target.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from llamac.files import NO_HARD_LINKS
from llamac.output.manifest import digest, read_file

FOLDER_MODE = 0o755
FILE_MODE = 0o644
EXECUTABLE_MODE = 0o755

Identity = tuple[int, int]  # device and inode: one file under however many names


def write_files(folder: Path, files: Mapping[str, str], executable: Collection[str]) -> None:
    """Write `files` below `folder`, with modes that no umask changes, and flush them to disk."""
    for name in sorted(files):
        path = folder / name
        make_folder(path.parent)
        mode = EXECUTABLE_MODE if name in executable else FILE_MODE
        _write_file(path, files[name].encode(), mode)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, each with the mode of ours."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    os.mkdir(folder)
    os.chmod(folder, FOLDER_MODE)


def _write_file(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def flush_folders(folder: Path) -> None:
    """Flush the names in `folder` and below to disk, innermost first."""
    for path in _entries(folder):
        if _is_folder(path):
            flush_folders(path)
    flush(folder)


def flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def carry_over(old: Path, new: Path, rename: Callable[[str], str | None]) -> set[Identity]:
    """Link what is in `old` and not ours into `new`; say which files now stand in both.

    `rename` maps a path below `old` to the one it gets, or to None where it is not carried over.
    OSError with EXDEV for a folder on which another file system is mounted.
    """
    carried: set[Identity] = set()
    for path in _walk(old):
        folder = _is_folder(path)
        if folder and os.lstat(path).st_dev != os.lstat(old).st_dev:  # it would stay behind
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fspath(path))
        name = rename(path.relative_to(old).as_posix())
        # A folder comes with the first file of it that does, or because it is empty.
        if name is None or (folder and os.listdir(path)):
            continue
        target = new / name
        _make_like(target.parent, old / Path(name).parent)
        if folder:
            _make_like(target, path)
        else:
            carried.add(identity(path))
            _link(path, target)
    return carried


def retire(
    old: Path,
    new: Path,
    ours: Mapping[str, str],
    carried: set[Identity],
    spare: Callable[[str], str],
) -> None:
    """Remove the tree at `old`, now that `new` stands.

    ours     digests of the files that `old`'s manifest lists
    carried  files that stand in both trees
    spare    a free name in `new` for a file of that name
    A file that is neither ours nor carried over appeared, or was edited, while we worked: it moves
    into `new` instead of being lost.
    """
    everything = _walk(old)
    folders = [path for path in everything if _is_folder(path)]
    for path in everything:
        if path in folders:
            continue
        name = path.relative_to(old).as_posix()
        content = read_file(path) if name in ours else None
        if identity(path) in carried or (content is not None and digest(content) == ours[name]):
            os.unlink(path)
        else:
            target = new / spare(name)
            make_folder(target.parent)
            os.rename(path, target)
    for path in reversed([old, *folders]):
        os.rmdir(path)


def identity(path: Path) -> Identity:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        shutil.copy2(path, target, follow_symlinks=False)


def _make_like(folder: Path, model: Path) -> None:
    """Make `folder` with the mode of `model`, where it is not there yet."""
    if folder.is_dir():
        return
    _make_like(folder.parent, model.parent)
    os.mkdir(folder)
    os.chmod(folder, stat.S_IMODE(os.lstat(model).st_mode) if model.is_dir() else FOLDER_MODE)


def _walk(folder: Path) -> list[Path]:
    """Everything below `folder` in order of name, folders before what they hold. No link is
    followed."""
    found: list[Path] = []
    for path in _entries(folder):
        found.append(path)
        if _is_folder(path):
            found.extend(_walk(path))
    return found


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(os.listdir(folder))]


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
