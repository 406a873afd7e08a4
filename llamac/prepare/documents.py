"""Formats of text: a corpus cut into units of work, and the documents of one unit.

A unit is what becomes one shard. How a corpus is cut depends on its files alone, so the shards are
the same however many processes make them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, assert_never

from compiler.schema.train import HfData, JsonlData, ParquetData, TextData
from llamac.prepare.arrow import arrow_files, row_groups, rows
from llamac.prepare.jsonl import SUFFIXES, byte_ranges, lines
from llamac.prepare.unit import Unit, WrongData

SMALLEST_UNIT, LARGEST_UNIT = 2**20, 64 * 2**20
"""Bytes of input."""

UNITS = 64
"""At least so many, as far as units stay larger than the smallest: then all cores have work."""

Textual = TextData | JsonlData | ParquetData | HfData
Format = Literal["text", "jsonl", "parquet", "hf"]


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
            files = files_under(path, *SUFFIXES)
            largest = _unit_bytes(files)
            return tuple(unit for file in files for unit in byte_ranges(file, largest))
        case "parquet":
            files = files_under(path, ".parquet")
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
    """(where it stands, its text in UTF-8) of every document; bytes of text files as they are."""
    match form:
        case "text":
            for file in unit.files:
                yield f"{file}", file.read_bytes()
        case "jsonl":
            yield from lines(unit, field)
        case "parquet" | "hf":
            yield from rows(form, unit, field)
        case _:
            assert_never(form)


def files_under(path: Path, *suffixes: str) -> list[Path]:
    """The file itself, or all of a folder that end so, in the order of their relative paths."""
    if not path.is_dir():
        return [_plain(path)]
    found = [_plain(f) for f in _inside(path) if f.name.lower().endswith(suffixes or "")]
    if not found:
        wanted = " or ".join(f"`{suffix}`" for suffix in suffixes if suffix)
        raise WrongData(
            path, "", f"no file in this folder ends in {wanted}" if wanted else "an empty folder"
        )
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _inside(folder: Path) -> Iterator[Path]:
    """All that is no folder, behind links too. What cannot be listed is not passed over."""

    def fail(error: OSError) -> None:
        raise error

    for inner, _, names in os.walk(folder, onerror=fail, followlinks=True):
        if any(os.path.samefile(inner, outer) for outer in _between(folder, Path(inner))):
            raise WrongData(Path(inner), "", "a link to a folder that it is in")
        yield from (Path(inner, name) for name in names)


def _between(folder: Path, inner: Path) -> Iterator[Path]:
    """What `inner` lies in, up to `folder`."""
    while inner != folder:
        inner = inner.parent
        yield inner


def _plain(path: Path) -> Path:
    """The file itself, which reading ends of: not a pipe, nor a link to nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise WrongData(path, "", "neither a file nor a folder")
    return path


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
