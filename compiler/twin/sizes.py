"""Sizes that differ from every size taken before, so that no two can be confused; and where a spec
has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, cast

from dsl.schema import fields_of

Entry = TypeVar("Entry")


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


def with_row(entry: Entry, path: str, value: int) -> Entry:
    """The entry of a spec with another number at `path`, such as `ffn.d_ff`."""
    name, _, rest = path.partition(".")
    rows: dict[str, object] = {row: getattr(entry, row) for row in fields_of(type(entry))}
    rows[name] = with_row(rows[name], rest, value) if rest else value
    return cast("Callable[..., Entry]", type(entry))(**rows)
