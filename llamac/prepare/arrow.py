"""Parquet files and datasets that `save_to_disk` wrote: their rows, read by pyarrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never, cast

from llamac.prepare.unit import MissingLibrary, Unit, WrongData, listed, text_of


class _Column(Protocol):
    def to_pylist(self) -> list[object]: ...


class _Rows(Protocol):
    def column(self, name: str) -> _Column: ...


class _Names(Protocol):
    names: list[str]


class _Group(Protocol):
    num_rows: int
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
    path.open("rb").close()  # says better than the library why it cannot be read
    try:
        return cast(_ParquetFile, _arrow("pyarrow.parquet").ParquetFile(path))
    except (library.ArrowException, OSError) as error:
        raise WrongData(path, "", f"not a Parquet file: {error}") from None


def row_groups(path: Path, largest: int) -> Iterator[Unit]:
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


def arrow_files(path: Path) -> list[Path]:
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
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WrongData(state, "", "not what `save_to_disk` of `datasets` writes") from None


def rows(form: Literal["parquet", "hf"], unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    (path,) = unit.files
    row = 0 if form == "hf" else _rows_before(path, unit)
    for batch in _batches(form, path, unit, field):
        for value in _values(batch.column(field), path, row):
            row += 1
            try:
                text = text_of({field: value}, field)
            except ValueError as error:
                raise WrongData(path, f"row {row}", str(error)) from None
            yield f"{path}", text


def _rows_before(path: Path, unit: Unit) -> int:
    metadata = _parquet(path).metadata
    return sum(metadata.row_group(group).num_rows for group in range(unit.start))


def _values(column: _Column, path: Path, row: int) -> list[object]:
    """Of a batch that begins after `row` rows."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        why = f"text that is not UTF-8: byte {error.object[error.start]:#04x}"
        raise WrongData(path, f"after row {row}", why) from None


def _batches(form: Literal["parquet", "hf"], path: Path, unit: Unit, field: str) -> Iterator[_Rows]:
    library = _arrow("pyarrow")
    try:
        yield from _batches_of(form, path, unit, field)
    except (library.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of the system; those of the library name no file
        raise WrongData(path, "", f"damaged: {error}") from None


def _batches_of(
    form: Literal["parquet", "hf"], path: Path, unit: Unit, field: str
) -> Iterator[_Rows]:
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
        raise WrongData(path, "", f"no column `{field}`; there are: {listed(names)}")
