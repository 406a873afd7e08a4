"""Small arithmetic that refusals use to name the nearest legal choice."""

from __future__ import annotations

import math
from collections.abc import Iterable

LARGEST_TRIED = 2**20


def divisors(number: int) -> list[int]:
    """All divisors, ascending; of a number beyond 2**40 those with a factor up to 2**20, which
    bounds the time that a hostile number takes."""
    last = min(math.isqrt(number), LARGEST_TRIED)
    small = [n for n in range(1, last + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def nearest_first(number: int, choices: Iterable[int]) -> list[int]:
    """Different choices by their distance from a number."""
    return sorted(set(choices), key=lambda choice: (abs(choice - number), choice))


def nearest(number: int, choices: Iterable[int], count: int = 2) -> tuple[int, ...]:
    """The `count` choices nearest to a number, ascending."""
    return tuple(sorted(nearest_first(number, choices)[:count]))
