"""JSON lines: a file as ranges of bytes, each with the lines that begin in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from llamac.prepare.unit import Unit, WrongData, kind, text_of

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def byte_ranges(file: Path, largest: int) -> Iterator[Unit]:
    size = file.stat().st_size
    for start in range(0, size, largest):
        end = min(start + largest, size)
        yield Unit((file,), end - start, start, end)


def lines(unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    """The lines that begin inside the unit's range."""
    (path,) = unit.files
    with path.open("rb") as file:
        if unit.start > 0:
            file.seek(unit.start - 1)
            file.readline()  # ends the line that began before, be it by its last byte
        while unit.end is None or file.tell() < unit.end:
            at = file.tell()
            line = file.readline()
            if not line:
                return
            if line.strip():
                yield f"{path}", _text_of_line(path, at, line, field)


def _text_of_line(path: Path, at: int, line: bytes, field: str) -> bytes:
    try:
        record: object = json.loads(line.removeprefix(BYTE_ORDER_MARK).rstrip().decode())
        if not isinstance(record, dict):
            raise ValueError(f"expected an object, found {kind(record)}")
        return text_of(cast(dict[str, object], record), field)
    except RecursionError:
        raise WrongData(path, _line_number(path, at), "nested too deeply") from None
    except json.JSONDecodeError as error:
        why = f"not JSON: {error.msg} at column {error.colno}"
        raise WrongData(path, _line_number(path, at), why) from None
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte {error.object[error.start]:#04x} at column {error.start + 1}"
        raise WrongData(path, _line_number(path, at), why) from None
    except ValueError as error:
        raise WrongData(path, _line_number(path, at), str(error)) from None


def _line_number(path: Path, at: int) -> str:
    """Of the line that begins at byte `at`; counted only where an error is told."""
    count = 1
    with path.open("rb") as file:
        while at > 0:
            block = file.read(min(at, 2**20))
            count += block.count(b"\n")
            at -= len(block)
    return f"{count}"
