"""One corpus of a spec: how its documents are encoded, and the tasks that make shards of it."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never, cast

from compiler.data import MEGATRON_DTYPES, MEGATRON_HEAD, MEGATRON_MAGIC, SHARDS_FORMAT
from compiler.schema.train import (
    Corpus,
    HfData,
    JsonlData,
    MegatronData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
)
from llamac.prepare.documents import Textual, files_under, format_of, units
from llamac.prepare.encoding import BYTES, WIDTHS, Dtype, Encoding, encoding
from llamac.prepare.shard import Encode, Record, Scan, Task
from llamac.prepare.unit import Unit, WrongData

INDEX = "index.json"


@dataclass(frozen=True)
class Source:
    """A corpus of one split.

    origin     its path in the spec
    tokenizer  what its tokens are made with, as a checksum; None where nobody knows
    size       tokens that may occur are below it; None where only its files tell
    tasks      make its shards, in their order
    listed     shards that are there already, prepared elsewhere
    """

    name: str
    origin: str
    tokenizer: str | None
    separator: int
    size: int | None
    tasks: tuple[Task, ...] = ()
    listed: tuple[Record, ...] = ()


def read_source(name: str, corpus: Corpus, path: Path, origin: str, folder: Path) -> Source:
    """What is to be done for the shards of `path` in `folder`. Raises WrongData, OSError."""
    match corpus:
        case TextData() | JsonlData() | ParquetData() | HfData():
            return _textual(name, corpus, path, origin, folder)
        case TokenData(separator=separator, dtype=dtype):
            files: list[tuple[Path, Dtype]] = [(file, dtype) for file in files_under(path)]
            tasks = _scans(name, files, separator, origin, folder)
            return Source(name, origin, None, separator, None, tuple(tasks))
        case MegatronData(separator=separator):
            tasks = _scans(name, [*pairs(path)], separator, origin, folder)
            return Source(name, origin, None, separator, None, tuple(tasks))
        case ShardData():
            return _read_prepared(name, path, origin, folder)
        case _:
            assert_never(corpus)


def _textual(name: str, corpus: Textual, path: Path, origin: str, folder: Path) -> Source:
    how = BYTES
    if corpus.tokenizer is not None and corpus.separator is not None:
        how = encoding(Path(corpus.tokenizer), corpus.separator)
    form = format_of(corpus)
    field = "" if isinstance(corpus, TextData) else corpus.text
    tasks = tuple(
        Encode(
            folder,
            _stem(name, number),
            origin,
            form,
            field,
            unit,
            how,
            _fingerprint(form, field, how, unit),
        )
        for number, unit in enumerate(units(form, path))
    )
    return Source(name, origin, how.sha256, how.separator, how.size, tasks)


def _stem(name: str, number: int) -> str:
    return f"{name or 'shard'}-{number:05}"


ENCODING = 2
"""Counts the changes of how a text becomes tokens: shards made before the last are made again."""


def _fingerprint(form: str, field: str, how: Encoding, unit: Unit) -> str:
    files = [_state(file) for file in unit.files]
    made_of = [
        ENCODING,
        form,
        field,
        how.sha256,
        how.separator,
        how.dtype,
        files,
        unit.start,
        unit.end,
    ]
    return _hash([SHARDS_FORMAT, *made_of])


def _state(file: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    state = file.stat()
    return file.as_posix(), state.st_size, state.st_mtime_ns


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _scans(
    name: str, files: list[tuple[Path, Dtype]], separator: int, origin: str, folder: Path
) -> Iterator[Scan]:
    for number, (file, dtype) in enumerate(files):
        fingerprint = _hash([SHARDS_FORMAT, _state(file), dtype, separator])
        yield Scan(folder, _stem(name, number), origin, file, dtype, separator, fingerprint)


def bin_beside(index: Path) -> Path:
    """NAME.bin of NAME.idx, or NAME.BIN of NAME.IDX."""
    return index.with_suffix(".bin" if index.suffix.islower() else ".BIN")


def pairs(path: Path) -> Iterator[tuple[Path, Dtype]]:
    """NAME.bin of each pair, with the dtype that NAME.idx names.

    Raises WrongData for what a program would refuse when it starts.
    """
    indexes = files_under(path, ".idx") if path.is_dir() else [Path(f"{path}.idx")]
    for index in indexes:
        with index.open("rb") as file:
            head = file.read(34).ljust(34, b"\0")
            magic, version, code, count, documents = struct.unpack(MEGATRON_HEAD, head)
            if (magic, version) != (MEGATRON_MAGIC.encode(), 1) or not count:
                raise WrongData(index, "", "not an index that Megatron wrote")
            if code not in MEGATRON_DTYPES:
                raise WrongData(index, "", f"numbers of code {code}: neither int32 nor uint16")
            if index.stat().st_size < 34 + 12 * count + 8 * documents:
                raise WrongData(index, "", "not a whole index: it ends too early")
            file.seek(34 + 4 * (count - 1))
            (length,) = struct.unpack("<i", file.read(4))
            file.seek(34 + 12 * count - 8)
            (address,) = struct.unpack("<q", file.read(8))
        dtype, tokens = MEGATRON_DTYPES[code], bin_beside(index)
        told, found = address + length * WIDTHS[dtype], tokens.stat().st_size
        if told != found:
            raise WrongData(tokens, "", f"{found:,} bytes, and its index says {told:,}")
        yield tokens, dtype


def _read_prepared(name: str, path: Path, origin: str, folder: Path) -> Source:
    """A folder that was prepared for another spec: its shards stay where they are."""
    index = read_index(path)
    try:
        shards = cast(list[dict[str, object]], index["shards"])
        listed = tuple(_listed(path, shard, folder) for shard in shards)
        separator = int(str(index["separator"]))
        tokenizer = None if index["tokenizer"] is None else str(index["tokenizer"])
    except (KeyError, TypeError, ValueError):
        raise WrongData(path / INDEX, "", f"not of the form `{SHARDS_FORMAT}`") from None
    return Source(name, origin, tokenizer, separator, None, listed=listed)


def files_of_index(path: Path) -> list[Path]:
    """The shards of a prepared folder. Raises WrongData, OSError."""
    try:
        shards = cast(list[dict[str, object]], read_index(path)["shards"])
        return [path / str(shard["file"]) for shard in shards]
    except (KeyError, TypeError):
        raise WrongData(path / INDEX, "", f"not of the form `{SHARDS_FORMAT}`") from None


def _listed(path: Path, shard: Mapping[str, object], folder: Path) -> Record:
    """A shard of the prepared folder `path`, as seen from `folder`."""
    file, dtype = path / str(shard["file"]), cast(Dtype, shard["dtype"])
    tokens = int(str(shard["tokens"]))
    told, found = tokens * WIDTHS[dtype], file.stat().st_size
    if told != found:
        raise WrongData(file, "", f"{found:,} bytes, and its index says {told:,}")
    return Record(
        file=os.path.relpath(file.resolve(), folder.resolve()),
        dtype=dtype,
        tokens=tokens,
        documents=int(str(shard["documents"])),
        largest=int(str(shard["largest"])),
        size=0,
        sha256=str(shard["sha256"]),
        fingerprint="",
    )


def read_index(folder: Path) -> dict[str, object]:
    """The index of a prepared folder. Raises WrongData, OSError."""
    try:
        index: object = json.loads((folder / INDEX).read_bytes())
    except ValueError as error:
        raise WrongData(folder / INDEX, "", f"not JSON: {error}") from None
    if not isinstance(index, dict) or cast(dict[str, object], index).get("format") != SHARDS_FORMAT:
        raise WrongData(folder / INDEX, "", f"not of the form `{SHARDS_FORMAT}`")
    return cast(dict[str, object], index)
