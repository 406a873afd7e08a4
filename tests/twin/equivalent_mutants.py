"""Mutants that no check of numbers can tell from the program, each with the reason.

The key is a pattern of the mutant's own: `file place: line before -> line after`.
"""

from __future__ import annotations

import re

EQUIVALENT: tuple[tuple[str, str], ...] = ()


def reason(key: str) -> str:
    return next((why for pattern, why in EQUIVALENT if re.search(pattern, key)), "")
