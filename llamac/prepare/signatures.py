"""Kinds of files that their first bytes give away.

A file of another kind than its format is often readable by accident: packed text as bytes, a header
as tokens. To recognise another kind, add a row to `SIGNATURES`.
"""

from __future__ import annotations

import re
from pathlib import Path

from compiler.data import TOKEN_HEADERS

HEAD_BYTES = 512

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"\x1f\x8b", "a gzip file"),
    (rb"BZh[1-9]1AY&SY", "a bzip2 file"),
    (rb"\xfd7zXZ\x00", "an xz file"),
    (rb"(\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)", "a Zstandard file"),
    (rb"\x04\x22\x4d\x18", "an LZ4 file"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb".{257}ustar", "a tar archive"),
    (rb"PAR1\x15", "a Parquet file"),
    (rb"ARROW1\x00\x00", "an Arrow file"),
    *((re.escape(start), kind) for start, (kind, _) in TOKEN_HEADERS.items()),
    (rb"(\xff\xfe|\xfe\xff)", "a UTF-16 file"),
)
"""(pattern at the start of the file, what it is)"""


def kind_of(head: bytes) -> str | None:
    """What a file that begins so is, if one of the table."""
    for pattern, kind in SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return kind
    return None


def kind_of_file(path: Path) -> str | None:
    """Raises OSError."""
    with path.open("rb") as file:
        return kind_of(file.read(HEAD_BYTES))
