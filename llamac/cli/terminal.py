"""Whether to use colour, and how to write counts."""

from __future__ import annotations

import os
from typing import TextIO


def wants_colour(stream: TextIO) -> bool:
    """`NO_COLOR` (no-color.org) wins over `FORCE_COLOR`; otherwise a terminal gets colour."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `2 files`, `1,024 processes`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
