"""What to type instead: the choices nearest to what was written that the whole plan can take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from compiler.planner.context import Context
from compiler.planner.numbers import nearest
from dsl.schema import AUTO, Auto

TRIES = 12
"""Candidates that are planned, of those that arithmetic leaves: the nearest."""


def axis_choices(
    context: Context, axis: Literal["tp", "cp"], wanted: int, candidates: Iterable[int]
) -> tuple[str, ...]:
    """Values of an axis to type: with these alone nothing else is wrong, or with `dp` left open.

    Where the plan has no such value, because other lines must change too, there is none.
    """
    tried = nearest(wanted, candidates, TRIES)
    found = [n for n in tried if context.mends(**{axis: n})]
    if found:
        return tuple(f"{axis} = {n}" for n in nearest(wanted, found))
    if isinstance(context.spec.dp, Auto):
        return ()
    found = [n for n in tried if context.mends(**{axis: n, "dp": AUTO})]
    return tuple(f"{axis} = {n}, dp = auto" for n in nearest(wanted, found))
