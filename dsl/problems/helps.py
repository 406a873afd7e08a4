"""Helps and fixes that several problems give."""

from __future__ import annotations

from typing import Final

from dsl.diagnostics import Edit, Fix
from dsl.source import Span

SURE: Final = 4


def rename(span: Span | None, found: str, suggestion: str | None) -> tuple[Fix, ...]:
    if span is None or suggestion is None:
        return ()
    title = f"replace `{found}` by `{suggestion}`"
    safe = len(found) >= SURE  # among short names many are close
    return (Fix(title, (Edit(span, suggestion),), safe),)
