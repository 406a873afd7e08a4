"""Edits applied to texts: of one suggestion, or of the fixes of several diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dsl.diagnostics import Diagnostic, Edit
from dsl.source import Source


def apply(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source], unsafe: bool = False
) -> Mapping[str, str]:
    """The new text of each file that changes. Of a diagnostic its first fix counts, if it is safe
    or `unsafe` ones are wanted; a fix that overlaps an earlier one waits for the next run."""
    chosen: list[Edit] = []
    for diagnostic in diagnostics:
        for fix in diagnostic.fixes[:1]:
            wanted = fix.safe or unsafe
            if wanted and not any(_overlap(edit, other) for edit in fix.edits for other in chosen):
                chosen += fix.edits
    return apply_edits(chosen, sources)


def apply_edits(edits: Iterable[Edit], sources: Mapping[str, Source]) -> Mapping[str, str]:
    """The new text of each file that edits, no two of which overlap, change."""
    texts: dict[str, str] = {}
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        span = edit.span
        if span.path in sources:
            text = texts.get(span.path, sources[span.path].text)
            texts[span.path] = text[: span.start] + edit.text + text[span.end :]
    return texts


def _overlap(a: Edit, b: Edit) -> bool:
    if a.span.path != b.span.path:
        return False
    if a.span.start == b.span.start:
        return True
    first, second = sorted((a.span, b.span))
    return second.start < first.end
