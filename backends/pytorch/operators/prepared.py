"""Prepared: what the lines of an operator read that is made once per forward."""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = ("rotations", "masks")
"""Every group, in the order in which a layer takes them, whichever of them its kind reads."""


@dataclass(frozen=True)
class Prepared:
    """Made before the layers run, and passed to each of a kind.

    names    of the values, as parameters of the layer's forward
    type     of each
    group    what a tuple of them for all kinds of layers is called
    text     the expression that makes them
    before   a line that the expression needs
    """

    names: tuple[str, ...]
    type: str
    group: str
    text: str
    before: str = ""
