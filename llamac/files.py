"""Reading specs: the only place that opens one. The front end asks for paths, this answers."""

from __future__ import annotations

import errno
import importlib.resources
import os
import shutil
import tempfile
from importlib.resources.abc import Traversable
from pathlib import Path

from dsl.files import Lookup, Missing, Unreadable
from dsl.syntax import MAXIMUM_BYTES

LIBRARY = "std/"
SUFFIX = ".llama"
# A file system without hard links, or a file with as many as it can have.
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
LARGEST_READ = MAXIMUM_BYTES + 1  # enough for the front end to see that it is too much


def lookup_in(root: Path, named: str) -> Lookup:
    """A lookup that reads `std/` from the package and everything else from the disk.

    root   the folder that no import leaves, links included
    named  the file that the user named, which may lie anywhere
    """
    boundary = _real(root)

    def lookup(path: str) -> bytes | str | Missing | Unreadable:
        if path.startswith(LIBRARY):
            return _read_library(path)
        if path != named and not _real(Path(path)).is_relative_to(boundary):
            return Unreadable(f"it leads out of {root}")
        return read(Path(path))

    return lookup


def _real(path: Path) -> Path:
    """Without links, as far as they lead anywhere. (`Path.resolve` raises where they circle.)"""
    return Path(os.path.realpath(path))


def project_root(path: Path) -> Path:
    """The folder of the project that a spec belongs to: the nearest one above it under version
    control, or the spec's own."""
    folder = path.absolute().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return folder


def read(path: Path) -> bytes | Missing | Unreadable:
    """The first LARGEST_READ bytes of a plain file, or why there are none."""
    try:
        if path.exists() and not path.is_file():
            return Unreadable("it is a folder" if path.is_dir() else "it is not a plain file")
        with path.open("rb") as file:
            return file.read(LARGEST_READ)
    except (FileNotFoundError, NotADirectoryError):
        return Missing(_neighbours(path.parent))
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except ValueError as error:  # a NUL in the path
        return Unreadable(str(error))


def _neighbours(folder: Path) -> tuple[str, ...]:
    """Specs beside a missing one, as paths of the same form; none where that can't be known."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return ()
    return tuple((folder / name).as_posix() for name in names)


def _library() -> Traversable:
    return importlib.resources.files("compiler") / "std"


def _read_library(path: str) -> bytes | Missing:
    """A file of the package's `std/`, which is flat."""
    for entry in _library().iterdir():
        if f"{LIBRARY}{entry.name}" == path and entry.is_file():
            return entry.read_bytes()
    return Missing(library_paths())


def library_paths() -> tuple[str, ...]:
    """Every file of `std/`, as imports name them."""
    names = (entry.name for entry in _library().iterdir())
    return tuple(sorted(LIBRARY + name for name in names if name.endswith(SUFFIX)))


def replace_file(path: Path, text: str) -> None:
    """Give a spec another text, wholly or not at all, and keep its mode. Links are followed."""
    target = _real(path)
    with tempfile.NamedTemporaryFile("wb", dir=target.parent, delete=False) as file:
        staged = Path(file.name)
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            shutil.copymode(target, staged)
            os.replace(staged, target)
        except OSError as error:
            staged.unlink(missing_ok=True)
            if error.errno != errno.EBUSY:
                raise
            target.write_text(text, encoding="utf-8")  # a mounted file, which must stay the same


def write_new(path: Path, text: str) -> bool:
    """Write a file that is not there yet; False where it is. Whole or not at all."""
    with tempfile.NamedTemporaryFile("wb", dir=path.absolute().parent, delete=False) as file:
        staged = Path(file.name)
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
            os.link(staged, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            if os.path.lexists(path):
                return False
            os.replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)
    return True
