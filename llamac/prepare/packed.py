"""Compressed files, recognised by the end of their name and opened as what they hold.

To read another compression, add a row to `OPENERS`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from llamac.prepare.unit import WrongData, arrow_module


def _open_by_arrow(path: Path, compression: str) -> io.BufferedIOBase:
    path.open("rb").close()  # says better than the library why it cannot be read
    library = arrow_module("pyarrow", "Zstandard and LZ4 files")
    return io.BufferedReader(library.input_stream(path, compression=compression))


OPENERS: Mapping[str, tuple[str, Callable[[Path], io.BufferedIOBase]]] = {
    ".gz": ("gzip", gzip.GzipFile),
    ".bz2": ("bzip2", bz2.BZ2File),
    ".xz": ("xz", lzma.LZMAFile),
    ".zst": ("Zstandard", partial(_open_by_arrow, compression="zstd")),
    ".lz4": ("LZ4", partial(_open_by_arrow, compression="lz4")),
}
"""The end of a name in lower case -> the compression, and how such a file is opened."""


def is_packed(path: Path) -> bool:
    return path.suffix.lower() in OPENERS


@contextmanager
def unpacked(path: Path) -> Generator[io.BufferedIOBase]:
    """The content of a file, whether it is compressed or not.

    Raises WrongData where a compressed file is damaged, also while it is read.
    """
    suffix = path.suffix.lower()
    if suffix not in OPENERS:
        with path.open("rb") as file:
            yield file
        return
    name, open_packed = OPENERS[suffix]
    if not path.stat().st_size:  # which the libraries take for nothing, compressed
        raise WrongData(path, "", f"not a whole {name} file: it is empty")
    try:
        with open_packed(path) as file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system; those of the libraries have no number
        raise WrongData(path, "", f"not a whole {name} file: {error}") from None
