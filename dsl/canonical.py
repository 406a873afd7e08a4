"""Checked values as JSON and back: for plan files, hashes, and rebuilding a Spec without its text.

An entry is an object whose `is` names it and whose other keys are all its rows in the order of the
schema; nothing is left out, so equal values have equal JSON. A layer pattern is run-length encoded.
`from_json` takes nothing on trust: what is not exactly of the schema's form is a `NotCanonical`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias, TypeVar, cast

from dsl.schema import (
    AUTO,
    Auto,
    Count,
    Field,
    Named,
    Pattern,
    Shape,
    entry_name,
    fields_of,
    is_entry,
)

T = TypeVar("T")

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

IS: Final = "is"
MAXIMUM_RUN: Final = 1_000_000


class NotCanonical(ValueError):
    """JSON that is no checked value; the message says where and what was expected."""


def to_json(value: object) -> Json:
    """The JSON of a checked value. Floats stay floats (`1.0`), so that reading gives them back."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise NotCanonical(f"{value} has no JSON")
            return value
        case Auto():
            return {IS: "auto"}
        case Count(number, word):
            return {IS: "count", "value": number, "word": word}
        case Pattern():
            return _pattern_to_json(cast(Pattern[object], value))
        case Named():
            items = cast(Named[object], value).items
            return {IS: "named", "items": [[name, to_json(item)] for name, item in items]}
        case tuple():
            return [to_json(item) for item in cast(tuple[object, ...], value)]
        case _:
            if not is_entry(type(value)):
                raise NotCanonical(f"a {type(value).__name__} is no value of a Spec")
            rows = {name: to_json(getattr(value, name)) for name in fields_of(type(value))}
            return {IS: entry_name(type(value)), **rows}


def _pattern_to_json(pattern: Pattern[object]) -> Json:
    runs: list[Json] = [[kind, len(list(run))] for kind, run in groupby(pattern.indices)]
    return {IS: "pattern", "kinds": [to_json(kind) for kind in pattern.kinds], "runs": runs}


def from_json(value: object, entry: type[T]) -> T:
    """The instance of `entry` that `to_json` made this of."""
    return cast(T, _entry(value, (entry,), entry_name(entry)))


def _fail(at: str, expected: str, found: object) -> NotCanonical:
    shown = repr(found)
    return NotCanonical(f"{at}: expected {expected}, found {shown[:60]}")


def _object(value: object, at: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _fail(at, "an object", value)
    return cast(Mapping[str, object], value)


def _entry(value: object, entries: Sequence[type], at: str) -> object:
    data = _object(value, at)
    entry = next((one for one in entries if entry_name(one) == data.get(IS)), None)
    if entry is None:
        names = " or ".join(entry_name(one) for one in entries)
        raise _fail(at, f"`{IS}` to be {names}", data.get(IS))
    rows = fields_of(entry)
    odd = sorted(str(key) for key in data.keys() ^ {IS, *rows})
    if odd:
        raise _fail(at, f"the fields of {entry_name(entry)}", ", ".join(odd))
    return entry(**{name: _row(data[name], row, f"{at}.{name}") for name, row in rows.items()})


def _row(value: object, row: Field, at: str) -> object:
    made = _shaped(value, row.shape, at)
    items = _items(made)
    for item in items:
        number = item.value if isinstance(item, Count) else item
        bound = row.row.bound(number) if isinstance(number, int | float) else None
        if bound is not None:
            raise _fail(at, f"{bound[0]} {bound[1]:,g}", number)
    if row.row.length not in (None, len(items)):
        raise _fail(at, f"a list of {row.row.length}", items)
    if row.row.distinct and len(set(items)) < len(items):
        raise _fail(at, "a list of different items", items)
    if isinstance(made, Count) and made.word not in row.row.words:
        raise _fail(at, "a number of " + " or ".join(row.row.words), made.word)
    return made


def _items(made: object) -> tuple[object, ...]:
    return cast(tuple[object, ...], made) if isinstance(made, tuple) else (made,)


def _shaped(value: object, shape: Shape, at: str) -> object:
    """The value a row of this shape takes from the JSON."""
    match value:
        case None if shape.none:
            return None
        case bool() if bool in shape.scalars:
            return value
        case int() if int in shape.scalars and not isinstance(value, bool):
            return value
        case float() if float in shape.scalars and math.isfinite(value):
            return value
        case str() if str in shape.scalars or value in shape.words:
            return value
        case list() if shape.items is not None:
            items = cast(list[object], value)
            inner = shape.items
            return tuple(_shaped(item, inner, f"{at}[{n}]") for n, item in enumerate(items))
        case dict():
            return _tagged(cast(Mapping[str, object], value), shape, at)
        case _:
            raise _fail(at, _expected(shape), value)


def _expected(shape: Shape) -> str:
    parts = [kind.__name__ for kind in sorted(shape.scalars, key=lambda kind: kind.__name__)]
    parts += [*shape.words, *(entry_name(entry) for entry in shape.entries)]
    parts += [
        name for name in ("none", "auto", "count", "pattern", "named") if getattr(shape, name)
    ]
    return " or ".join(parts) or "a list"


def _tagged(value: Mapping[str, object], shape: Shape, at: str) -> object:
    """An object: what it is stands under `is`."""
    kind = value.get(IS)
    keys = value.keys() - {IS}
    if kind == "auto" and shape.auto and not keys:
        return AUTO
    if kind == "count" and shape.count and keys == {"value", "word"}:
        number, word = value["value"], value["word"]
        if isinstance(number, int) and not isinstance(number, bool) and isinstance(word, str):
            return Count(number, word)
    if kind == "pattern" and shape.pattern is not None and keys == {"kinds", "runs"}:
        return _pattern(value, shape.pattern, at)
    if kind == "named" and shape.named is not None and keys == {"items"}:
        return _named(value["items"], shape.named, at)
    if shape.entries:
        return _entry(value, shape.entries, at)
    raise _fail(at, _expected(shape), dict(value))


def _pattern(value: Mapping[str, object], entry: type, at: str) -> object:
    kinds, runs = value["kinds"], value["runs"]
    if not isinstance(kinds, list) or not isinstance(runs, list):
        raise _fail(at, "lists of kinds and runs", value)
    made = tuple(
        _entry(kind, (entry,), f"{at}.kinds[{n}]")
        for n, kind in enumerate(cast(list[object], kinds))
    )
    indices: list[int] = []
    for run in cast(list[list[object]], runs):
        match run:
            case [int() as kind, int() as length] if 0 <= kind < len(made) and length > 0:
                if len(indices) + length > MAXIMUM_RUN:
                    raise _fail(at, f"at most {MAXIMUM_RUN} layers", length)
                indices += [kind] * length
            case _:
                raise _fail(f"{at}.runs", "[kind, length]", run)
    if list(dict.fromkeys(indices)) != list(range(len(made))):
        raise _fail(f"{at}.runs", "kinds numbered by first use", indices[:9])
    return Pattern(made, tuple(indices))


def _named(items: object, entry: type, at: str) -> object:
    if not isinstance(items, list):
        raise _fail(at, "a list of items", items)
    made: list[tuple[str, object]] = []
    for item in cast(list[list[object]], items):
        match item:
            case [str() as name, body]:
                made.append((name, _entry(body, (entry,), f"{at}.{name}")))
            case _:
                raise _fail(at, "[name, item]", item)
    return Named(tuple(made))
