"""JSON lines: a file as ranges of bytes, each with the lines that begin in it. A compressed file is
one range: no byte of it can be reached without all those before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from llamac.prepare.packed import OPENERS, is_packed, unpacked
from llamac.prepare.signatures import HEAD_BYTES, kind_of
from llamac.prepare.unit import Unit, WrongData, WrongField, kind, text_of

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def byte_ranges(file: Path, largest: int) -> Iterator[Unit]:
    size = file.stat().st_size
    if is_packed(file):
        yield Unit((file,), size)
        return
    for start in range(0, size, largest):
        end = min(start + largest, size)
        yield Unit((file,), end - start, start, end)


def lines(unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    """The lines that begin inside the unit's range."""
    (path,) = unit.files
    with unpacked(path) as file:
        for at, line in _lines_of(file, unit):
            if line.strip():
                yield f"{path}", _text_of_line(path, at, line, field)


def _lines_of(file: BufferedIOBase, unit: Unit) -> Iterator[tuple[int, bytes]]:
    """(at which byte, the line)"""
    at = unit.start
    if at > 0:
        file.seek(at - 1)
        at += len(file.readline()) - 1  # ends the line that began before, be it by its last byte
    while unit.end is None or at < unit.end:
        line = file.readline()
        if not line:
            return
        yield at, line
        at += len(line)


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
        raise _wrong_line(path, at, line, why) from None
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte {error.object[error.start]:#04x} at column {error.start + 1}"
        raise _wrong_line(path, at, line, why) from None
    except WrongField as error:
        raise WrongData(path, _line_number(path, at), str(error), error.help) from None
    except ValueError as error:
        raise _wrong_line(path, at, line, str(error)) from None


def _wrong_line(path: Path, at: int, line: bytes, why: str) -> WrongData:
    """At the start of a file, a file of another kind and one JSON document are named as such."""
    another = kind_of(line[:HEAD_BYTES]) if at == 0 else None
    if another is not None:
        ends = ", ".join(OPENERS)
        help = f"the end of its name must tell how a file is compressed: {ends}"
        return WrongData(path, "", f"{another}, not JSON lines", help)
    spread = at == 0 and line.lstrip(BYTE_ORDER_MARK + b" \t").startswith((b"[", b"{\n", b"{\r"))
    help = "one object per line is read: `jq -c '.[]'` makes such lines of an array"
    return WrongData(path, _line_number(path, at), why, help if spread else "")


def _line_number(path: Path, at: int) -> str:
    """Of the line that begins at byte `at`; counted only where an error needs it."""
    count = 1
    with unpacked(path) as file:
        while at > 0:
            block = file.read(min(at, 2**20))
            count += block.count(b"\n")
            at -= len(block)
    return f"{count}"
