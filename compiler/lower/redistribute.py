"""Which collective turns one placement into another: the table of named pairs, read forwards."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.placement import Invariant, Partial, Placement, Replicate, Shard
from compiler.rank_program import Pair


@dataclass(frozen=True)
class Step:
    """The pair and the dimension it gathers or scatters ('' where there is none)."""

    pair: Pair
    dim: str


class NoCollective(Exception):
    """A rule asks for a placement that no named pair produces: a defect of an operator's rule."""


def redistribution(have: Placement, want: Placement) -> Step:
    """The named pair whose forward is `have -> want`."""
    match have, want:
        case Shard(dim=dim), Replicate():
            return Step("all_gather", dim)
        case Partial(reduce="sum"), Shard(dim=dim):
            return Step("reduce_scatter", dim)
        case Partial(reduce="sum"), Invariant():
            return Step("all_reduce", "")
        case Partial(reduce="max"), Replicate():
            return Step("all_reduce_max", "")
        case _:
            raise NoCollective(f"{have} -> {want}")
