"""A unit of work, the text of a document, and the errors of both."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from dsl.suggest import closest


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


def arrow_module(module: str, what: str) -> Any:  # pyarrow has no types: callers cast
    """A module of pyarrow, which reads `what`. Raises MissingLibrary."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise MissingLibrary("pyarrow", what) from None


class WrongField(ValueError):
    """A record without the text that was asked for; `help` may be empty."""

    def __init__(self, why: str, help: str = "") -> None:
        super().__init__(why)
        self.help = help


def text_of(record: Mapping[str, object], field: str) -> bytes:
    """The field in UTF-8. A dotted name leads into objects, unless a field has just that name.

    Raises WrongField, which says what is there instead of text.
    """
    if field in record:
        return encoded(record[field], field)
    name, _, rest = field.partition(".")
    inner = record.get(name)
    if rest and isinstance(inner, dict):
        return text_of(cast(dict[str, object], inner), rest)
    why = f"no field `{field}`; there are: {listed(record)}"
    raise WrongField(why, suggestion(field, [n for n, v in record.items() if isinstance(v, str)]))


def encoded(text: object, field: str) -> bytes:
    """A value in UTF-8. Raises WrongField where it is not text."""
    if not isinstance(text, str):
        raise WrongField(f"`{field}` is {kind(text)}, not text")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise WrongField(f"`{field}` holds half of a surrogate pair, {half}") from None


def suggestion(field: str, names: Collection[str]) -> str:
    """What to write instead of a field that is not there: the nearest of those that hold text."""
    plain = [name for name in names if name.isprintable() and len(name) <= 40 and '"' not in name]
    near = closest(field, plain) or next(iter(plain if len(plain) == 1 else ()), None)
    return f'write `text = "{near}"`' if near else ""


def listed(names: Collection[str]) -> str:
    """A handful and how many more."""
    few = [shown(name) for name in islice(names, 6)]
    more = [f"and {len(names) - 6:,} more"] if len(names) > 6 else []
    return ", ".join([*few, *more]) or "none"


def shown(name: str) -> str:
    """Short and on one line, whatever a file calls its fields."""
    printed = name if name.isprintable() else ascii(name)
    return printed if len(printed) <= 40 else f"{printed[:40]}..."


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
