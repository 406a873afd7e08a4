"""How the front end gets files: a lookup that the caller supplies, and bytes made text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dsl.diagnostics import Problem
from dsl.source import Source, Span
from dsl.syntax import MAXIMUM_BYTES, Limit, NotText


@dataclass(frozen=True)
class Missing:
    """No such file; `neighbours` are the files of its folder, for did-you-mean."""

    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """The file is there but cannot be read: `reason` is what the system says."""

    reason: str


Lookup: TypeAlias = Callable[[str], bytes | str | Missing | Unreadable]


def in_memory(files: Mapping[str, bytes | str]) -> Lookup:
    """A lookup over a mapping of paths to texts."""

    def lookup(path: str) -> bytes | str | Missing | Unreadable:
        return files[path] if path in files else Missing(tuple(files))

    return lookup


def decode(path: str, content: bytes | str) -> tuple[Source, Problem | None]:
    """The text of a file, or as much of it as can be shown, and why it is not a spec."""
    if len(content) > MAXIMUM_BYTES:
        what = f"the file has {len(content):,} bytes"
        limit, instead = f"{MAXIMUM_BYTES:,}", "move blocks to a file of their own, and import it"
        return Source(path, ""), Limit(
            span=Span(path, 0, 0), what=what, limit=limit, instead=instead
        )
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_text(path, data, error.start)
    if "\0" in text:
        return _not_text(path, data, data.index(0))
    return Source(path, text), None


def _not_text(path: str, data: bytes, offset: int) -> tuple[Source, Problem]:
    """Point at the byte within a text that shows what can be shown."""
    before = len(data[:offset].decode("utf-8", "replace"))
    shown = data.decode("utf-8", "replace").replace("\0", "\ufffd")
    problem = NotText(span=Span(path, before, before + 1), offset=offset, byte=data[offset])
    return Source(path, shown), problem
