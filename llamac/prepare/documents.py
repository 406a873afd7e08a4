"""Formats of text: a corpus cut into units of work, and the documents of one unit.

A unit is what becomes one shard. How a corpus is cut depends on its files alone, so the shards are
the same however many processes make them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never, cast

from compiler.schema.train import HfData, JsonlData, ParquetData, TextData

SMALLEST_UNIT, LARGEST_UNIT = 2**20, 64 * 2**20
"""Bytes of input."""

UNITS = 64
"""At least so many, as far as units stay larger than the smallest: then all cores have work."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Textual = TextData | JsonlData | ParquetData | HfData
Format = Literal["text", "jsonl", "parquet", "hf"]


@dataclass(frozen=True)
class Unit:
    """Whole files; or of one, `start` to `end - 1`: bytes in which a line begins, or row groups.

    size   bytes of input, for the progress bar
    """

    files: tuple[Path, ...]
    size: int
    start: int = 0
    end: int | None = None


class WrongData(Exception):
    """Data that cannot be used: the file, the place in it (a line, a row; may be empty), why, and
    what to do."""

    def __init__(self, file: Path, place: str, why: str, help: str = "") -> None:
        super().__init__(file, place, why, help)
        self.file, self.place, self.why, self.help = file, place, why, help

    @property
    def located(self) -> str:
        return f"{self.file}:{self.place}" if self.place else f"{self.file}"


class MissingLibrary(Exception):
    """A package that only some formats need; `args` are its name and what needs it."""


def format_of(corpus: Textual) -> Format:
    match corpus:
        case TextData():
            return "text"
        case JsonlData():
            return "jsonl"
        case ParquetData():
            return "parquet"
        case HfData():
            return "hf"
        case _:
            assert_never(corpus)


def units(form: Format, path: Path) -> tuple[Unit, ...]:
    """The units of a file or folder, in the order of their files' names."""
    match form:
        case "text":
            files = files_under(path)
            return _groups(files, _unit_bytes(files))
        case "jsonl":
            files = files_under(path, ".jsonl")
            largest = _unit_bytes(files)
            return tuple(unit for file in files for unit in _byte_ranges(file, largest))
        case "parquet":
            files = files_under(path, ".parquet")
            largest = _unit_bytes(files)
            return tuple(unit for file in files for unit in _row_groups(file, largest))
        case "hf":
            return tuple(Unit((file,), file.stat().st_size) for file in _arrow_files(path))
        case _:
            assert_never(form)


def _unit_bytes(files: Sequence[Path]) -> int:
    """A power of two, so that a corpus that grows a little keeps its units."""
    wanted = sum(file.stat().st_size for file in files) // UNITS
    below = 1 << max(0, wanted.bit_length() - 1)
    return min(max(below, SMALLEST_UNIT), LARGEST_UNIT)


def documents(form: Format, unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    """(where it stands, its text in UTF-8) of every document; bytes of text files as they are."""
    match form:
        case "text":
            for file in unit.files:
                yield f"{file}", file.read_bytes()
        case "jsonl":
            yield from _lines(unit, field)
        case "parquet" | "hf":
            yield from _rows(form, unit, field)
        case _:
            assert_never(form)


def files_under(path: Path, suffix: str = "") -> list[Path]:
    """The file itself, or all of a folder that end so, in the order of their relative paths."""
    if not path.is_dir():
        path.stat()  # says that it is missing
        return [path]
    found = [file for file in path.rglob(f"*{suffix}") if file.is_file()]
    if not found:
        raise WrongData(
            path, "", f"no file in this folder ends in `{suffix}`" if suffix else "an empty folder"
        )
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _groups(files: Sequence[Path], largest: int) -> tuple[Unit, ...]:
    """Neighbours together, as long as they are not too large."""
    groups: list[Unit] = []
    for file in files:
        size = file.stat().st_size
        if groups and groups[-1].size + size <= largest:
            groups[-1] = Unit((*groups[-1].files, file), groups[-1].size + size)
        else:
            groups.append(Unit((file,), size))
    return tuple(groups)


def _byte_ranges(file: Path, largest: int) -> Iterator[Unit]:
    size = file.stat().st_size
    for start in range(0, size, largest):
        end = min(start + largest, size)
        yield Unit((file,), end - start, start, end)


def _lines(unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
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
            raise ValueError(f"expected an object, found {_kind(record)}")
        return _text_of(cast(dict[str, object], record), field)
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


def _text_of(record: dict[str, object], field: str) -> bytes:
    """ValueError says what is there instead of text."""
    if field not in record:
        raise ValueError(f"no field `{field}`; there are: {', '.join(record) or 'none'}")
    text = record[field]
    if not isinstance(text, str):
        raise ValueError(f"`{field}` is {_kind(text)}, not text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{field}` holds half of a surrogate pair, \\u{ord(text[error.start]):04x}"
        ) from None


def _kind(value: object) -> str:
    """In JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _line_number(path: Path, at: int) -> str:
    """Of the line that begins at byte `at`; counted only where an error is told."""
    count = 1
    with path.open("rb") as file:
        while at > 0:
            block = file.read(min(at, 2**20))
            count += block.count(b"\n")
            at -= len(block)
    return f"{count}"


class _Column(Protocol):
    def to_pylist(self) -> list[object]: ...


class _Rows(Protocol):
    def column(self, name: str) -> _Column: ...


class _Names(Protocol):
    names: list[str]


class _Group(Protocol):
    total_byte_size: int


class _Metadata(Protocol):
    num_row_groups: int

    def row_group(self, index: int) -> _Group: ...


class _ParquetFile(Protocol):
    metadata: _Metadata
    schema_arrow: _Names

    def iter_batches(
        self, batch_size: int, row_groups: Sequence[int], columns: Sequence[str]
    ) -> Iterable[_Rows]: ...


class _Stream(Protocol):
    schema: _Names

    def __iter__(self) -> Iterator[_Rows]: ...


def _arrow(module: str) -> Any:  # pyarrow has no types: what is taken from it is cast at once
    """A module of pyarrow."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise MissingLibrary("pyarrow", "Parquet and Arrow files") from None


def _parquet(path: Path) -> _ParquetFile:
    library = _arrow("pyarrow")
    try:
        return cast(_ParquetFile, _arrow("pyarrow.parquet").ParquetFile(path))
    except library.ArrowException as error:
        raise WrongData(path, "", f"not a Parquet file: {error}") from None


def _row_groups(path: Path, largest: int) -> Iterator[Unit]:
    """Neighbouring row groups together, as long as they are not too large."""
    metadata = _parquet(path).metadata
    start, size = 0, 0
    for group in range(metadata.num_row_groups):
        bytes_of_group = metadata.row_group(group).total_byte_size
        if group > start and size + bytes_of_group > largest:
            yield Unit((path,), size, start, group)
            start, size = group, 0
        size += bytes_of_group
    if metadata.num_row_groups > start:
        yield Unit((path,), size, start, metadata.num_row_groups)


def _arrow_files(path: Path) -> list[Path]:
    """The files of one dataset, in the order that its state.json gives."""
    state = path / "state.json"
    if (path / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(f"{inner}" for inner in path.iterdir() if inner.is_dir()))
        raise WrongData(path, "", "a folder of several datasets", f"name one of them: {splits}")
    try:
        listed = json.loads(state.read_bytes())["_data_files"]
        return [path / str(entry["filename"]) for entry in listed]
    except FileNotFoundError:
        why = "no state.json: `save_to_disk` of `datasets` writes one"
        raise WrongData(path, "", why) from None
    except (ValueError, KeyError, TypeError):
        raise WrongData(state, "", "not what `save_to_disk` of `datasets` writes") from None


def _rows(form: Literal["parquet", "hf"], unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    (path,) = unit.files
    row = 0
    library = _arrow("pyarrow")
    try:
        for batch in _batches(form, path, unit, field):
            for value in batch.column(field).to_pylist():
                try:
                    yield f"{path}", _text_of({field: value}, field)
                except ValueError as error:
                    within = f"row {row + 1}" + (
                        f" of row group {unit.start}" if unit.start else ""
                    )
                    raise WrongData(path, within, str(error)) from None
                row += 1
    except library.ArrowException as error:
        raise WrongData(path, "", f"damaged: {error}") from None


def _batches(form: Literal["parquet", "hf"], path: Path, unit: Unit, field: str) -> Iterator[_Rows]:
    match form:
        case "parquet":
            file = _parquet(path)
            _has_column(path, field, file.schema_arrow.names)
            groups = range(unit.start, unit.end or file.metadata.num_row_groups)
            yield from file.iter_batches(256, row_groups=[*groups], columns=[field])
        case "hf":
            with path.open("rb") as source:
                stream = cast(_Stream, _arrow("pyarrow.ipc").open_stream(source))
                _has_column(path, field, stream.schema.names)
                yield from stream
        case _:
            assert_never(form)


def _has_column(path: Path, field: str, names: list[str]) -> None:
    if field not in names:
        raise WrongData(path, "", f"no column `{field}`; there are: {', '.join(names) or 'none'}")
