"""Prints docs/schema.md: every block and component with its fields, read from the schema itself.

`make docs` rewrites the page; a test holds the page against this script's output.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from types import UnionType
from typing import cast

from compiler.schema import BLOCKS, NODES
from dsl.schema import Auto, Count, Named, Pattern, Row

HEAD = """# Schema reference

Every block and component of the language, with its fields. This page is printed from
`compiler/schema/` by `make docs`.

`effect` says what changing a field changes: *meaning* (what is learnt), *mapping* (how it is
spread) or *operation* (how it is run). A field marked *not built* is known to the language, and
any value but its default is refused.
"""


def main() -> None:
    print(page(), end="")


def page() -> str:
    return "\n".join([HEAD, *("\n".join(section(entry)) for entry in entries())])


def entries() -> list[type]:
    """Every entry of the language, each once."""
    seen: set[type] = set()
    return [found for entry in (*BLOCKS.values(), *NODES) for found in reachable(entry, seen)]


def title(entry: type) -> str:
    """The name written in a spec; two entries of one name are told apart by their class."""
    name: str = vars(entry)["entry_name"]
    alike = [other for other in entries() if vars(other)["entry_name"] == name]
    return name if len(alike) == 1 else f"{name} ({entry.__name__})"


def link(entry: type) -> str:
    anchor = title(entry).lower().replace(" ", "-").replace("(", "").replace(")", "")
    return f"[`{vars(entry)['entry_name']}`](#{anchor})"


def reachable(entry: type, seen: set[type]) -> Iterator[type]:
    """The entry and all that its fields may hold, each once, blocks first."""
    if entry in seen:
        return
    seen.add(entry)
    yield entry
    for hint in typing.get_type_hints(entry).values():
        for inner in entries_of(hint):
            if inner not in BLOCKS.values():
                yield from reachable(inner, seen)


def entries_of(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and "entry_name" in vars(hint):
        yield hint
    for argument in typing.get_args(hint):
        yield from entries_of(argument)


def section(entry: type) -> Iterator[str]:
    yield f"## {title(entry)}\n"
    doc = inspect.getdoc(entry) or ""
    if doc and not doc.startswith("Rows of `"):
        yield f"{doc}\n"
    fields = dataclasses.fields(entry)
    if not fields:
        yield "No fields.\n"
        return
    yield "| field | type | default | effect | |"
    yield "|---|---|---|---|---|"
    hints = typing.get_type_hints(entry)
    for field in fields:
        row = field.metadata["row"]
        assert isinstance(row, Row)
        note = " *(not built)*" if row.pending else ""
        yield (
            f"| `{field.name}` | {type_text(hints[field.name], row)} | {default_text(field, row)} "
            f"| {row.effect.value} | {row.doc}{note} |"
        )
    yield ""


def type_text(hint: object, row: Row) -> str:
    if row.dimension is not None:
        return f"{row.dimension.name.lower().replace('_', ' ')} ({row.dimension.value})"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, UnionType):
        return " or ".join(type_text(argument, row) for argument in arguments)
    if origin in (Pattern, Named):
        return f"{link(arguments[0])} blocks"
    if origin is tuple:
        return f"list of {type_text(arguments[0], row)}"
    return plain_type(hint, row)


def plain_type(hint: object, row: Row) -> str:
    if hint is type(None):
        return "`none`"
    if hint is Auto:
        return "`auto`"
    if hint is Count:
        return " or ".join(row.words)
    assert isinstance(hint, type)
    if "entry_name" in vars(hint):
        return link(hint)
    words = {int: "integer", float: "number", str: "string", bool: "boolean"}
    suffix = f" ({row.words[0]})" if hint is int and row.words else ""
    return words[hint] + suffix


def default_text(field: dataclasses.Field[object], row: Row) -> str:
    if row.derived is not None:
        return f"`{row.derived}`"
    if field.default is dataclasses.MISSING:
        return "required"
    return value_text(field.default)


def value_text(value: object) -> str:
    match value:
        case None:
            return "`none`"
        case bool():
            return f"`{str(value).lower()}`"
        case Auto():
            return "`auto`"
        case Named():
            return ""
        case tuple():
            return f"`{list(cast(tuple[object, ...], value))}`"
        case _ if dataclasses.is_dataclass(value):
            return f"`{vars(type(value))['entry_name']}`"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    main()
