"""Two directories change places: in one system call where the file system can do it."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
# What a kernel, a C library or a file system answers that doesn't know renameat2 or its flags.
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


def swap(staged: Path, target: Path, aside: Path) -> Path:
    """Put `staged` at `target`, which exists; say where the old directory went.

    Where the two can't be exchanged in one call, the old one steps `aside` first: a crash between
    the two renames leaves `target` missing, and `recover` brings the old one back.
    """
    if _renameat2(staged, target, _RENAME_EXCHANGE):
        return staged
    os.rename(target, aside)
    os.rename(staged, target)
    return aside


def place(staged: Path, target: Path) -> None:
    """Put `staged` at `target`, which must not exist."""
    if not _renameat2(staged, target, _RENAME_NOREPLACE):
        # Replaces an empty directory at most, never a file or a directory that holds something.
        os.rename(staged, target)


def recover(target: Path, aside: Path) -> None:
    """Bring back what `swap` had moved aside when it was interrupted."""
    if not os.path.lexists(target) and aside.is_dir():
        os.rename(aside, target)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Whether it was done; False where it is not supported here; other failures raise."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        call = libc.renameat2
    except AttributeError:
        return False
    call.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    error = ctypes.get_errno()
    if error in _UNSUPPORTED:
        return False
    raise OSError(error, os.strerror(error), str(source), None, str(target))
