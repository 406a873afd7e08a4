"""What an operator asks of its inputs on one mesh atom, and what it makes of them."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.placement import Placement

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """Placements on one atom: `inputs` are needed (redistribute what differs), `outputs` made."""

    inputs: tuple[Placement, ...]
    outputs: tuple[Placement, ...]


def elementwise(count: int, placement: Placement) -> Rule:
    """Every input and the one output lie alike."""
    return Rule((placement,) * count, (placement,))
