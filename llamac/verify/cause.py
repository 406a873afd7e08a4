"""What a wrong tensor says about why: along which axis copies disagree, or which factor it is off.

The twin's axis sizes differ pairwise, so a factor of 3 is the axis of three ranks and no other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from llamac.verify.observe import Record


@dataclass(frozen=True)
class Cause:
    """axis is '' where no axis stands out; `why` completes "tensor x: ..."."""

    axis: str
    why: str


NO_CAUSE = Cause("", "")


@dataclass(frozen=True)
class Parts:
    """What each rank holds of one tensor, what it should hold, and which part that is."""

    got: Sequence[Tensor]
    right: Sequence[Tensor]
    place: Sequence[object]


def find_cause(records: list[Record], parts: Parts, within: float) -> Cause:
    """within: largest absolute difference of equal values."""
    axes = list(dict.fromkeys(_disagreeing(records, parts, within)))
    if axes:
        return Cause(", ".join(axes), f"ranks along {', '.join(axes)} hold different copies")
    factor = _factor(parts)
    if factor is None:
        return NO_CAUSE
    for axis, size in _sizes(records).items():
        if size > 1 and (math.isclose(factor, size) or math.isclose(factor, 1 / size)):
            return Cause(axis, f"{factor:.4g} times what it should be, and {axis} is {size}")
    if all(part.numel() <= 1 for part in parts.got):
        return NO_CAUSE  # any two numbers have a factor
    return Cause("", f"{factor:.4g} times what it should be")


def _disagreeing(records: list[Record], parts: Parts, within: float) -> Iterator[str]:
    """Axes along which neighbours that should hold the same part hold different values."""
    for one, other in combinations(range(len(records)), 2):
        here, there = _coordinates(records[one]), _coordinates(records[other])
        along = [axis for axis, at in here.items() if there[axis] != at]
        same = len(along) == 1 and parts.place[one] == parts.place[other]
        if same and parts.got[one].numel():
            apart = (parts.got[one] - parts.got[other]).abs().max().item()
            if not apart <= within:
                yield along[0]


def _coordinates(record: Record) -> dict[str, int]:
    """Place on every axis that no other axes make up: not tp, where kv and kv_copy are named."""
    at = record["coordinates"]
    return {axis: place for axis, place in at.items() if axis != "tp" or "kv" not in at}


def _sizes(records: list[Record]) -> dict[str, int]:
    places = [_coordinates(record) for record in records]
    return {axis: 1 + max(at[axis] for at in places) for axis in places[0]}


def _factor(parts: Parts) -> float | None:
    """The one number that `right` must be multiplied by to give `got`, if there is one."""
    pairs = list(zip(parts.got, parts.right, strict=True))
    product = sum((got * right).sum().item() for got, right in pairs)
    square = sum((right * right).sum().item() for _, right in pairs)
    if not square or not product or not math.isfinite(product):
        return None
    factor = product / square
    residues = [(got - factor * right).abs().max().item() for got, right in pairs if got.numel()]
    return factor if max(residues) <= 1e-6 * abs(factor) * math.sqrt(square) else None
