"""Suggestions about rows: from paths and values to the edits that write them.

A row written in the file of the block is replaced where it stands. Any other (a default, a formula,
a row of an imported file) is set by one more line of the block: `train.seq_len = 4Ki`.
"""

from __future__ import annotations

from collections.abc import Mapping

from dsl.diagnostics import Edit, Suggestion
from dsl.source import Span
from dsl.spec import OriginKind, Origins, Room
from dsl.tree import Clause


def suggest(origins: Origins, block: str, rows: Mapping[str, str], remark: str = "") -> Suggestion:
    """`rows` maps the path of a row, rooted at the block, to the text of its new value."""
    text = ", ".join(f"{_short(path, rows)} = {value}" for path, value in rows.items())
    edits = [_edits(origins, block, path, value) for path, value in rows.items()]
    if not all(edits):
        return Suggestion(text, (), remark)
    return Suggestion(text, _merged([edit for part in edits for edit in part]), remark)


def _short(path: str, rows: Mapping[str, str]) -> str:
    """The name of the row, with as much of its path as tells it from the other rows."""
    parts = path.split(".")
    for first in reversed(range(len(parts))):
        short = parts[first:]
        if sum(other.split(".")[-len(short) :] == short for other in rows) == 1:
            return ".".join(short)
    return path


def room_after(clauses: tuple[Clause, ...], closing: Span) -> Room:
    """After the last clause of a body; an empty body ends before the last character of
    `closing`, its brace."""
    if clauses:
        last = clauses[-1].span
        return Room(Span(last.path, last.end, last.end), ", ")
    return Room(Span(closing.path, closing.end - 1, closing.end - 1), " ")


def _edits(origins: Origins, block: str, path: str, value: str) -> tuple[Edit, ...]:
    """Empty where the row is set outside of every file, or the block is in none."""
    whole, origin = origins.get(block, ""), origins.get(block, path)
    if whole is None or whole.room is None:
        return ()
    if origin is not None and origin.kind is OriginKind.OVERRIDDEN:
        return ()
    at = whole.room.at
    if origin is not None and origin.span is not None and origin.span.path == at.path:
        return (Edit(origin.span, value),)
    return (Edit(at, f"{whole.room.lead}{path} = {value}"),)


def _merged(edits: list[Edit]) -> tuple[Edit, ...]:
    """Insertions at one place become one edit, in order."""
    by_span: dict[Span, str] = {}
    for edit in edits:
        before = by_span.get(edit.span)
        by_span[edit.span] = edit.text if before is None else before + ", " + edit.text.strip(", ")
    return tuple(Edit(span, text) for span, text in by_span.items())
