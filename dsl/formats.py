"""Diagnostics for machines: JSON, GitHub workflow commands and SARIF.

The keys of `to_json` are a contract. Lines and columns count from 1, the end is exclusive, and
columns count characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from dsl.diagnostics import Diagnostic, Severity, explanations
from dsl.source import Source, Span

JsonObject: TypeAlias = dict[str, Any]  # JSON has no narrower type that is of use to a caller

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def place(span: Span | None, sources: Mapping[str, Source]) -> JsonObject:
    """`file line column end_line end_column`; all null where a diagnostic has no place."""
    keys = ("file", "line", "column", "end_line", "end_column")
    if span is None or span.path not in sources:
        return dict.fromkeys(keys)
    source = sources[span.path]
    start, end = source.position(span.start), source.position(span.end)
    values = (span.path, start.line, start.column, end.line, end.column)
    return dict(zip(keys, values, strict=True))


def to_json(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> JsonObject:
    """One diagnostic; the first of `labels` is the primary one where there is one."""
    primary = diagnostic.primary
    labels = (*(() if primary is None else (primary,)), *diagnostic.secondary)
    return {
        "slug": diagnostic.slug,
        "severity": diagnostic.severity.value,
        **place(None if primary is None else primary.span, sources),
        "title": diagnostic.title,
        "labels": [{**place(label.span, sources), "text": label.text} for label in labels],
        "notes": list(diagnostic.notes),
        "helps": list(diagnostic.helps),
        "fixes": [
            {
                "title": fix.title,
                "safe": fix.safe,
                "edits": [{**place(edit.span, sources), "text": edit.text} for edit in fix.edits],
            }
            for fix in diagnostic.fixes
        ],
    }


def to_github(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> str:
    """One line that a GitHub workflow shows beside the changed line."""
    span = None if diagnostic.primary is None else diagnostic.primary.span
    where = place(span, sources)
    properties = {
        "file": where["file"],
        "line": where["line"],
        "col": where["column"],
        "endLine": where["end_line"],
        "endColumn": where["end_column"],
        "title": f"llamac[{diagnostic.slug}]",
    }
    shown = ",".join(
        f"{key}={_escaped(str(value), ':,')}"
        for key, value in properties.items()
        if value is not None
    )
    label = diagnostic.primary.text if diagnostic.primary is not None else ""
    text = ": ".join(part for part in (diagnostic.title, label) if part)
    return f"::{diagnostic.severity.value} {shown}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    """Percent escapes of workflow commands."""
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def to_sarif(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> JsonObject:
    """A SARIF 2.1.0 log of one run."""
    known = explanations()
    slugs = sorted({diagnostic.slug for diagnostic in diagnostics})
    rules = [
        {
            "id": slug,
            "shortDescription": {"text": known.get(slug, slug).split("\n\n")[0]},
            "fullDescription": {"text": known.get(slug, slug)},
        }
        for slug in slugs
    ]
    driver = {"name": "llamac", "rules": rules}
    results = [_result(diagnostic, sources) for diagnostic in diagnostics]
    runs = [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}]
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": runs}


def _result(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> JsonObject:
    level = "error" if diagnostic.severity is Severity.ERROR else "warning"
    primary = diagnostic.primary
    lines = [diagnostic.title, primary.text if primary else "", *diagnostic.notes]
    lines += [f"help: {text}" for text in diagnostic.helps]
    result: JsonObject = {
        "ruleId": diagnostic.slug,
        "level": level,
        "message": {"text": "\n".join(line for line in lines if line)},
        "locations": [] if primary is None else [_location(primary.span, sources)],
        "relatedLocations": [
            {**_location(label.span, sources), "message": {"text": label.text}}
            for label in diagnostic.secondary
        ],
    }
    if diagnostic.fixes:
        result["fixes"] = [
            {
                "description": {"text": fix.title},
                "artifactChanges": [
                    {
                        "artifactLocation": {"uri": edit.span.path},
                        "replacements": [
                            {
                                "deletedRegion": _region(edit.span, sources),
                                "insertedContent": {"text": edit.text},
                            }
                        ],
                    }
                    for edit in fix.edits
                ],
            }
            for fix in diagnostic.fixes
        ]
    return result


def _location(span: Span, sources: Mapping[str, Source]) -> JsonObject:
    region = _region(span, sources)
    return {"physicalLocation": {"artifactLocation": {"uri": span.path}, "region": region}}


def _region(span: Span, sources: Mapping[str, Source]) -> JsonObject:
    where = place(span, sources)
    return {
        "startLine": where["line"] or 1,
        "startColumn": where["column"] or 1,
        "endLine": where["end_line"] or 1,
        "endColumn": where["end_column"] or 1,
    }
