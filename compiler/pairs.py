"""The named pairs: a collective that moves a value, and the one that moves its gradient back.

Each pair is one row of the table of placements (R replicate, I invariant, S shard, P partial). The
gradient of R is P and the reverse; those of I and S lie as they do. So the backward of a row is the
row from the gradient of `want` to the gradient of `have`.
Source: the varying-axes types of JAX's shard_map, and the same in Meta's spmd_types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from compiler.placement import Placement, Shard

Pair = Literal[
    "all_gather",
    "all_gather_invariant",
    "reduce_scatter",
    "all_reduce_replicate",
    "all_reduce",
    "all_reduce_max",
    "all_to_all",
    "replicate",
    "slice",
]
Kind = Literal["all_gather", "reduce_scatter", "all_reduce", "all_to_all"]
"""What a group of processes really does."""


@dataclass(frozen=True)
class Row:
    """`have -> want`, by kind of placement; None where nothing is communicated."""

    have: str
    want: str
    forward: Kind | None
    backward: Kind | None


PAIRS: dict[Pair, Row] = {
    "all_gather": Row("S", "R", "all_gather", "reduce_scatter"),
    "all_gather_invariant": Row("S", "I", "all_gather", None),
    "reduce_scatter": Row("P(sum)", "S", "reduce_scatter", "all_gather"),
    "all_reduce_replicate": Row("P(sum)", "R", "all_reduce", "all_reduce"),
    "all_reduce": Row("P(sum)", "I", "all_reduce", None),
    "all_reduce_max": Row("P(max)", "R", "all_reduce", None),
    "all_to_all": Row("S", "S", "all_to_all", "all_to_all"),
    "replicate": Row("I", "R", None, "all_reduce"),
    "slice": Row("R", "S", None, None),
}
"""A maximum carries no gradient. The backward of `slice` pads with zeros: a sum is then pending."""


def kind_of(placement: Placement) -> str:
    """The row's word for a placement: shards of every dimension are one kind."""
    return "S" if isinstance(placement, Shard) else str(placement)


__all__ = ["PAIRS", "Kind", "Pair", "Row", "kind_of"]
