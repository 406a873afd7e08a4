"""JSON lines: a file as ranges of bytes, each with the lines that begin in it. A file that gzip
packed is one range: nothing in its middle can be reached but through all before it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from llamac.prepare.unit import Unit, WrongData, kind, text_of

SUFFIXES = (".jsonl", ".jsonl.gz", ".json.gz")
"""Of the files that are read in a folder."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def byte_ranges(file: Path, largest: int) -> Iterator[Unit]:
    size = file.stat().st_size
    if _is_packed(file):
        yield Unit((file,), size)
        return
    for start in range(0, size, largest):
        end = min(start + largest, size)
        yield Unit((file,), end - start, start, end)


def lines(unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    """The lines that begin inside the unit's range."""
    (path,) = unit.files
    try:
        with _opened(path) as file:
            if _is_packed(path) and not path.stat().st_size:
                raise EOFError("it is empty")  # which the library takes for nothing, packed
            for at, line in _lines_of(file, unit):
                if line.strip():
                    yield f"{path}", _text_of_line(path, at, line, field)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WrongData(path, "", f"not a whole gzip file: {error}") from None


def _lines_of(file: BinaryIO, unit: Unit) -> Iterator[tuple[int, bytes]]:
    """(at which byte, the line)"""
    if unit.start > 0:
        file.seek(unit.start - 1)
        file.readline()  # ends the line that began before, be it by its last byte
    while unit.end is None or file.tell() < unit.end:
        at = file.tell()
        line = file.readline()
        if not line:
            return
        yield at, line


def _is_packed(path: Path) -> bool:
    return path.suffix == ".gz"


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if _is_packed(path) else path.open("rb")


def _text_of_line(path: Path, at: int, line: bytes, field: str) -> bytes:
    try:
        record: object = json.loads(line.removeprefix(BYTE_ORDER_MARK).rstrip().decode())
        if not isinstance(record, dict):
            raise ValueError(f"expected an object, found {kind(record)}")
        return text_of(cast(dict[str, object], record), field)
    except RecursionError:
        raise WrongData(path, _line_number(path, at), "nested too deeply") from None
    except json.JSONDecodeError as error:
        why = f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise WrongData(path, _line_number(path, at), why) from None
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte {error.object[error.start]:#04x} at column {error.start + 1}"
        raise WrongData(path, _line_number(path, at), why) from None
    except ValueError as error:
        raise WrongData(path, _line_number(path, at), str(error)) from None


def _line_number(path: Path, at: int) -> str:
    """Of the line that begins at byte `at`; counted only where an error is told."""
    count = 1
    with _opened(path) as file:
        while at > 0:
            block = file.read(min(at, 2**20))
            count += block.count(b"\n")
            at -= len(block)
    return f"{count}"
