"""Bytes as people read them."""

from __future__ import annotations

from math import log2


def size_text(value: float) -> str:
    """Three digits and a binary unit."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min(int(log2(value)) // 10, len(units) - 1) if value >= 1 else 0
    return f"{value / 1024**power:,.{0 if power == 0 else 2}f} {units[power]}"
