"""Sizes that differ from every size taken before, so that no two can be confused."""

from __future__ import annotations

import math


def free_size(parts: int, minimum: int, taken: set[int], of: int = 1) -> int:
    """The smallest size such that neither it nor one of its `parts` is taken; takes both.

    It is a multiple of `of` too. Equal sizes would let a reshape along the wrong dimension pass.
    """
    step = math.lcm(parts, of)
    size = math.ceil(minimum / step) * step
    while {size, size // parts} & taken:
        size += step
    taken |= {size, size // parts}
    return size
