"""What a run learns, as rows: the values of a spec whose effect is `meaning`, by their paths.

Runs whose rows are equal learn the same, however they are parallelised, watched or saved. A program
keeps them in its checkpoints, and goes on only from those in which they are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TypeAlias, cast

from compiler.schema import PlanSpec
from compiler.schema.train import Data, TrainSpec
from dsl.schema import Auto, Count, Effect, Field, Named, Pattern, entry_name, fields_of, is_entry

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...]"


def meaning(spec: PlanSpec) -> dict[str, Value]:
    """Path -> value, in the order of the schema. What is none or has no value yet has no row."""
    return dict(_rows("", spec))


def _rows(path: str, entry: object) -> Iterator[tuple[str, Value]]:
    for name, field in fields_of(type(entry)).items():
        if field.row.effect is Effect.MEANING and not _is_place(entry, name):
            yield from _row(f"{path}.{name}".lstrip("."), getattr(entry, name), field)


def _is_place(entry: object, name: str) -> bool:
    """Data may move; the program itself sees what they are. The weights that a run started from
    are in its checkpoints."""
    if isinstance(entry, TrainSpec):
        return name == "init_from"
    return isinstance(entry, Data) and name in ("train", "validation", "tokenizer")


def _row(path: str, value: object, field: Field) -> Iterator[tuple[str, Value]]:
    match value:
        case None | Auto():
            return
        case bool() | int() | float() | str():
            yield path, value
        case Count(number, word):
            yield path, f"{number} {word}"
        case tuple():
            yield path, cast("tuple[Value, ...]", value)
        case Named():
            for name, item in cast("Named[object]", value).items:
                yield from _rows(f"{path}.{name}", item)
        case Pattern():
            yield from _pattern(path, cast("Pattern[object]", value))
        case _ if is_entry(type(value)):
            if field.shape.none or len(field.shape.entries) > 1:  # else it can be no other
                yield path, entry_name(type(value))
            yield from _rows(path, value)
        case _:
            raise TypeError(f"{path}: a {type(value).__name__} is no value of a spec")


def _pattern(path: str, pattern: Pattern[object]) -> Iterator[tuple[str, Value]]:
    """One kind of layer has the path of all; of several, each its number: `model.layer[0]`."""
    if len(pattern.kinds) == 1:
        yield from _rows(path, pattern.kinds[0])
        return
    runs = tuple((kind, len(list(run))) for kind, run in groupby(pattern.indices))
    yield path, runs
    for index, kind in enumerate(pattern.kinds):
        yield from _rows(f"{path}[{index}]", kind)
