"""Parquet files and datasets that `save_to_disk` wrote: their rows, read by pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never, cast

from llamac.prepare.unit import Unit, WrongData, arrow_module, encoded, listed, shown, suggestion


class _Type(Protocol):
    value_type: _Type  # of a dictionary


class _Column(Protocol):
    type: _Type

    def to_pylist(self) -> list[object]: ...


class _Rows(Protocol):
    def column(self, name: str) -> _Column: ...


class _Field(Protocol):
    name: str
    type: _Type


class _Schema(Protocol):
    names: list[str]

    def field(self, name: str) -> _Field: ...


class _Group(Protocol):
    num_rows: int
    total_byte_size: int


class _Metadata(Protocol):
    num_row_groups: int

    def row_group(self, index: int) -> _Group: ...


class _ParquetFile(Protocol):
    metadata: _Metadata
    schema_arrow: _Schema

    def iter_batches(
        self, batch_size: int, row_groups: Sequence[int], columns: Sequence[str]
    ) -> Iterable[_Rows]: ...


class _Stream(Protocol):
    schema: _Schema

    def __iter__(self) -> Iterator[_Rows]: ...


def _arrow(module: str) -> Any:
    return arrow_module(module, "Parquet and Arrow files")


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
    """(the file, the text) of every row of a unit. Bytes are read too, if they are UTF-8."""
    (path,) = unit.files
    row = 0 if form == "hf" else _rows_before(path, unit)
    for column in _columns(form, path, unit, field):
        for value in _values(column, path, row):
            row += 1
            try:
                text = _text(value, field, column.type)
            except ValueError as error:
                raise WrongData(path, f"row {row}", str(error)) from None
            yield f"{path}", text


def _text(value: object, field: str, of_type: _Type) -> bytes:
    if not isinstance(value, bytes):
        return encoded(value, field)
    try:
        value.decode()
    except UnicodeDecodeError as error:
        byte, at = value[error.start], error.start
        why = f"not UTF-8: byte {byte:#04x} at offset {at:,} of a column of type {of_type}"
        raise ValueError(why) from None
    return value


def _rows_before(path: Path, unit: Unit) -> int:
    metadata = _parquet(path).metadata
    return sum(metadata.row_group(group).num_rows for group in range(unit.start))


def _values(column: _Column, path: Path, row: int) -> list[object]:
    """Those of a batch that begins after `row` rows."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        why = f"text that is not UTF-8: byte {error.object[error.start]:#04x}"
        raise WrongData(path, f"after row {row}", why) from None


def _columns(
    form: Literal["parquet", "hf"], path: Path, unit: Unit, field: str
) -> Iterator[_Column]:
    library = _arrow("pyarrow")
    try:
        match form:
            case "parquet":
                yield from _columns_of_parquet(path, unit, field)
            case "hf":
                yield from _columns_of_stream(path, field)
            case _:
                assert_never(form)
    except (library.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of the system; those of the library name no file
        raise WrongData(path, "", f"damaged: {error}") from None


def _columns_of_parquet(path: Path, unit: Unit, field: str) -> Iterator[_Column]:
    file = _parquet(path)
    place = _place(path, field, file.schema_arrow)
    groups = range(unit.start, unit.end or file.metadata.num_row_groups)
    for batch in file.iter_batches(256, row_groups=[*groups], columns=[field]):
        yield _column(batch, place)


def _columns_of_stream(path: Path, field: str) -> Iterator[_Column]:
    with path.open("rb") as source:
        stream = cast(_Stream, _arrow("pyarrow.ipc").open_stream(source))
        place = _place(path, field, stream.schema)
        for batch in stream:
            yield _column(batch, place)


@dataclass(frozen=True)
class _Place:
    """Where a text is: a column, or a member of a column of structs, and its type."""

    column: str
    members: tuple[str, ...]
    type: _Type


def _places(schema: _Schema) -> dict[str, _Place]:
    """Every column by its name, and every member of a struct by its dotted name."""
    places = {name: _Place(name, (), schema.field(name).type) for name in schema.names}
    for place in [*places.values()]:
        for inner in _members(place):
            places.setdefault(".".join((inner.column, *inner.members)), inner)
    return places


def _members(place: _Place) -> Iterator[_Place]:
    if _arrow("pyarrow.types").is_struct(place.type):
        for member in cast(Iterable[_Field], place.type):
            inner = _Place(place.column, (*place.members, member.name), member.type)
            yield inner
            yield from _members(inner)


def _is_text(type: _Type) -> bool:
    """Whether its values are strings, or bytes, which may be UTF-8."""
    types = _arrow("pyarrow.types")
    if types.is_dictionary(type):
        return _is_text(type.value_type)
    known = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    return any(getattr(types, f"is_{name}")(type) for name in (*known, "fixed_size_binary"))


def _place(path: Path, field: str, schema: _Schema) -> _Place:
    """Where the field is in a file. Raises WrongData where there is none, or it is not text."""
    places = _places(schema)
    texts = [name for name, place in places.items() if _is_text(place.type)]
    if field not in places:
        raise WrongData(
            path,
            "",
            f"no column `{field}`; there are: {listed(schema.names)}",
            suggestion(field, texts),
        )
    place = places[field]
    if not _is_text(place.type):
        why = f"the column `{field}` is of type {shown(str(place.type))}, not text"
        inner = [name for name in texts if name.startswith(f"{field}.")]
        raise WrongData(path, "", why, suggestion(field, inner))
    return place


def _column(batch: _Rows, place: _Place) -> _Column:
    column = batch.column(place.column)
    if not place.members:
        return column
    return cast(_Column, _arrow("pyarrow.compute").struct_field(column, place.members))
