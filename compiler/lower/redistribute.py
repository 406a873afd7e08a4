"""Which collectives turn one placement into another: the table of named pairs, read forwards."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.pairs import PAIRS, Pair, kind_of
from compiler.placement import I, Placement, R, Shard


@dataclass(frozen=True)
class Step:
    """One pair. `dim` is gathered or scattered; an all-to-all gathers it and scatters `to_dim`."""

    pair: Pair
    want: Placement
    dim: str = ""
    to_dim: str = ""


class NoCollective(Exception):
    """No named pair leads from one placement to the other: a defect of an operator's rule."""


def redistribution(have: Placement, want: Placement) -> tuple[Step, ...]:
    """The pairs that turn `have` into `want`, in order: one, or two by way of R.

    Raises NoCollective where no values of the two placements have the same meaning, or the
    gradients would not: R -> I would count a gradient once where every rank has a part of it.
    """
    if have == want:
        return ()
    kinds = kind_of(have), kind_of(want)
    for pair, row in PAIRS.items():
        if (row.have, row.want) == kinds:
            return (_step(pair, have, want),)
    if have == I and isinstance(want, Shard):
        return (*redistribution(have, R), *redistribution(R, want))
    raise NoCollective(f"no collective turns {have} into {want}")


def _step(pair: Pair, have: Placement, want: Placement) -> Step:
    dims = [placement.dim for placement in (have, want) if isinstance(placement, Shard)]
    return Step(pair, want, *dims)
