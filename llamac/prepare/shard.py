"""One unit of work into one file of tokens, and beside it a record of what it was made from.

The record is written last, so a shard whose record is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from llamac.prepare.documents import Format, documents
from llamac.prepare.encoding import WIDTHS, Dtype, Encoding, Unencodable, numbers
from llamac.prepare.unit import Unit, WrongData

BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Encode:
    """Make the shard NAME.bin in `folder` of the documents of a unit.

    origin       path in the spec of the corpus, for errors
    fingerprint  of all that decides about the shard's content
    """

    folder: Path
    name: str
    origin: str
    form: Format
    field: str
    unit: Unit
    encoding: Encoding
    fingerprint: str


@dataclass(frozen=True)
class Scan:
    """List a file of tokens where it is, after looking at all of it."""

    folder: Path
    name: str
    origin: str
    file: Path
    dtype: Dtype
    separator: int
    fingerprint: str


Task = Encode | Scan


@dataclass(frozen=True)
class Record:
    """What is known of a shard; `file` is relative to its folder, `size` in bytes."""

    file: str
    dtype: Dtype
    tokens: int
    documents: int
    largest: int
    size: int
    sha256: str
    fingerprint: str


def record_path(task: Task) -> Path:
    return task.folder / f"{task.name}.json"


def size_of(task: Task) -> int:
    """Bytes of input."""
    return task.unit.size if isinstance(task, Encode) else task.file.stat().st_size


def fresh(task: Task, thorough: bool) -> Record | None:
    """The record of the task's shard, where it was made of just this; with `thorough`, its bytes
    are compared with their checksum as well."""
    try:
        record = Record(**json.loads(record_path(task).read_bytes()))
        file = task.folder / record.file
        whole = record.fingerprint == task.fingerprint and file.stat().st_size == record.size
        if not whole or (thorough and _sha256(file) != record.sha256):
            return None
    except (OSError, ValueError, TypeError):  # absent, or not a record
        return None
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def carry_out(task: Task, tick: Callable[[int], None]) -> None:
    """Leaves the shard and its record. `tick(bytes)` is called as input has been read.

    Raises WrongData for what cannot be read as what it should be, OSError for what cannot be
    written.
    """
    task.folder.mkdir(parents=True, exist_ok=True)
    record = _encode(task, tick) if isinstance(task, Encode) else _scan(task, tick)
    with replacing(record_path(task)) as file:
        file.write(json.dumps(asdict(record), indent=1).encode() + b"\n")


def _encode(task: Encode, tick: Callable[[int], None]) -> Record:
    encoding, left = task.encoding, task.unit.size
    digest, tokens, count, largest = hashlib.sha256(), 0, 0, 0
    shard = task.folder / f"{task.name}.bin"
    with replacing(shard) as file:
        for place, document in _read(task):
            encoded = _encoded(task, place, document)
            raw = encoded.tobytes()
            file.write(raw)
            digest.update(raw)
            tokens, count, largest = tokens + len(encoded), count + 1, max(largest, max(encoded))
            read = min(len(document), left)
            left -= read
            tick(read)
    tick(left)
    return Record(
        shard.name,
        encoding.dtype,
        tokens,
        count,
        largest,
        tokens * WIDTHS[encoding.dtype],
        digest.hexdigest(),
        task.fingerprint,
    )


def _read(task: Encode) -> Iterator[tuple[str, bytes]]:
    """Its documents."""
    try:
        yield from documents(task.form, task.unit, task.field)
    except OSError as error:
        raise _unreadable(task.unit.files[0], error) from error


def _unreadable(file: Path, error: OSError) -> WrongData:
    return WrongData(Path(error.filename or file), "", error.strerror or f"{error}")


def _encoded(task: Encode, place: str, document: bytes) -> array[int]:
    try:
        return task.encoding.encode(document)
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start:,}"
        raise WrongData(Path(place), "", why) from None
    except Unencodable as error:
        raise WrongData(Path(place), "", f"{error}") from None


def _scan(task: Scan, tick: Callable[[int], None]) -> Record:
    digest, tokens, count, largest = hashlib.sha256(), 0, 0, 0
    for raw in _blocks(task.file):
        block = numbers(task.dtype)
        if len(raw) % block.itemsize:
            raise WrongData(task.file, "", f"not a whole number of {task.dtype} tokens")
        block.frombytes(raw)
        digest.update(raw)
        tokens, count = tokens + len(block), count + block.count(task.separator)
        largest = max(largest, max(block))
        tick(len(raw))
    return Record(
        os.path.relpath(task.file.resolve(), task.folder.resolve()),
        task.dtype,
        tokens,
        count,
        largest,
        tokens * WIDTHS[task.dtype],
        digest.hexdigest(),
        task.fingerprint,
    )


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while raw := file.read(BLOCK_BYTES):
                yield raw
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A file that takes the place of `path` when all is written, or leaves it as it was."""
    staged = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with staged.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    except OSError as error:  # a disk that is full names no file
        error.filename = os.fspath(path)
        raise
    finally:
        staged.unlink(missing_ok=True)
