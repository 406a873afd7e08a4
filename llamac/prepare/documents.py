"""Formats of text: a corpus cut into units of work, and the documents of one unit.

A unit becomes one shard. How a corpus is cut depends on its files alone, so the shards are the same
for any number of processes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, assert_never

from compiler.schema.train import HfData, JsonlData, ParquetData, TextData
from llamac.prepare.arrow import arrow_files, row_groups, rows
from llamac.prepare.jsonl import byte_ranges, lines
from llamac.prepare.packed import OPENERS
from llamac.prepare.signatures import HEAD_BYTES, kind_of
from llamac.prepare.unit import Unit, WrongData, listed

SMALLEST_UNIT, LARGEST_UNIT = 2**20, 64 * 2**20
"""Bytes of input."""

UNITS = 64
"""At least so many, as long as units stay larger than the smallest: then all cores have work."""

Textual = TextData | JsonlData | ParquetData | HfData
Format = Literal["text", "jsonl", "parquet", "hf"]

ENDINGS: Mapping[Format, tuple[str, ...]] = {
    "jsonl": tuple(
        f"{end}{packed}" for packed in ("", *OPENERS) for end in (".jsonl", ".ndjson", ".json")
    ),
    "parquet": (".parquet",),
}
"""How the files end that are read in a folder, in lower case. Formats without a row read all."""

OTHER_DATA = re.compile(
    r"\.(jsonl|ndjson|parquet|arrow|csv|tsv|tar)(\.(gz|bz2|xz|zst|zstd|lz4|br|lzma|lzo|snappy|z))?$"
    r"|\.(zip|7z|rar|tgz)$"
)
"""Names of data beyond doubt. In a folder of another format they are not passed over."""


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
            files = _files_of(form, path)
            largest = _unit_bytes(files)
            return tuple(unit for file in files for unit in byte_ranges(file, largest))
        case "parquet":
            files = _files_of(form, path)
            largest = _unit_bytes(files)
            return tuple(unit for file in files for unit in row_groups(file, largest))
        case "hf":
            return tuple(Unit((file,), file.stat().st_size) for file in arrow_files(path))
        case _:
            assert_never(form)


def _unit_bytes(files: Sequence[Path]) -> int:
    """A power of two, so that a corpus that grows a little keeps its units."""
    wanted = sum(file.stat().st_size for file in files) // UNITS
    below = 1 << max(0, wanted.bit_length() - 1)
    return min(max(below, SMALLEST_UNIT), LARGEST_UNIT)


def documents(form: Format, unit: Unit, field: str) -> Iterator[tuple[str, bytes]]:
    """(its place, its text in UTF-8) of every document; text files are not decoded."""
    match form:
        case "text":
            for file in unit.files:
                yield f"{file}", _text(file)
        case "jsonl":
            yield from lines(unit, field)
        case "parquet" | "hf":
            yield from rows(form, unit, field)
        case _:
            assert_never(form)


def _text(file: Path) -> bytes:
    content = file.read_bytes()
    another = kind_of(content[:HEAD_BYTES])
    if another is not None:
        raise WrongData(file, "", f"{another}, not text in UTF-8", "decompress or convert it first")
    return content


def _files_of(form: Format, path: Path) -> list[Path]:
    """The files of a corpus. A folder must not hold data of another format beside them."""
    files = files_under(path, *ENDINGS[form])
    for file in unread_files(form, path):
        if OTHER_DATA.search(file.name.lower()):
            why = f"data, but its name is not that of a file that `{form}` reads"
            help = "move it to another folder, which another source of a mixture may read"
            raise WrongData(file, "", why, help)
    return files


def unread_files(form: Format, path: Path, most: int | None = None) -> list[Path]:
    """What a folder holds beside the files of the format, of its first `most` files. Hidden files
    are never meant."""
    endings = ENDINGS.get(form)
    if endings is None or not path.is_dir():
        return []
    every = islice(_inside(path), most)
    names = (file for file in every if not file.name.lower().endswith(endings))
    return sorted(file for file in names if not file.name.startswith((".", "_")))


def some_files(path: Path, most: int, *suffixes: str) -> list[Path]:
    """As `files_under`, but at most so many, in the order in which the folder lists them."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    found = (f for f in islice(_inside(path), most) if f.name.lower().endswith(suffixes or ""))
    return [file for file in found if file.is_file()]


def files_under(path: Path, *suffixes: str) -> list[Path]:
    """The file itself, or all of a folder that end so, in the order of their relative paths."""
    if not path.is_dir():
        return [_plain(path)]
    found = [_plain(f) for f in _inside(path) if f.name.lower().endswith(suffixes or "")]
    if not found:
        wanted = listed([f"`{suffix}`" for suffix in suffixes])
        why = f"no file in this folder ends in {wanted}" if suffixes else "an empty folder"
        raise WrongData(path, "", why)
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _inside(folder: Path) -> Iterator[Path]:
    """Everything but folders, through links too. OSError where a folder cannot be listed."""

    def fail(error: OSError) -> None:
        raise error

    for inner, _, names in os.walk(folder, onerror=fail, followlinks=True):
        if any(os.path.samefile(inner, outer) for outer in _between(folder, Path(inner))):
            raise WrongData(Path(inner), "", "a link to a folder that it is in")
        yield from (Path(inner, name) for name in names)


def _between(folder: Path, inner: Path) -> Iterator[Path]:
    """The folders that contain `inner`, up to `folder`."""
    while inner != folder:
        inner = inner.parent
        yield inner


def _plain(path: Path) -> Path:
    """The file itself. WrongData for a pipe or device, OSError for a broken link."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise WrongData(path, "", "neither a file nor a folder")
    return path


def _groups(files: Sequence[Path], largest: int) -> tuple[Unit, ...]:
    """Neighbouring files together, as long as they are not too large."""
    groups: list[Unit] = []
    for file in files:
        size = file.stat().st_size
        if groups and groups[-1].size + size <= largest:
            groups[-1] = Unit((*groups[-1].files, file), groups[-1].size + size)
        else:
            groups.append(Unit((file,), size))
    return tuple(groups)
