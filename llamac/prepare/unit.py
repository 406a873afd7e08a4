"""A unit of work, a document's text, and what is said of those that are wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


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


def text_of(record: Mapping[str, object], field: str) -> bytes:
    """The field in UTF-8; ValueError says what is there instead of text."""
    if field not in record:
        raise ValueError(f"no field `{field}`; there are: {listed(record)}")
    text = record[field]
    if not isinstance(text, str):
        raise ValueError(f"`{field}` is {kind(text)}, not text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{field}` holds half of a surrogate pair, \\u{ord(text[error.start]):04x}"
        ) from None


def listed(names: Collection[str]) -> str:
    """A handful and how many more; each short and on one line, whatever a file calls its fields."""
    printed = (name if name.isprintable() else ascii(name) for name in names)
    few = [name if len(name) <= 40 else f"{name[:40]}..." for name in islice(printed, 6)]
    more = [f"and {len(names) - 6:,} more"] if len(names) > 6 else []
    return ", ".join([*few, *more]) or "none"


def kind(value: object) -> str:
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
