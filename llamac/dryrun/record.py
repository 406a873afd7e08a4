"""What one dry-run rank did, as its process writes it for the parent: JSON."""

from __future__ import annotations

from typing import TypedDict


class CalledJson(TypedDict):
    """Collectives of one kind over one group; bytes of the whole buffers, see compiler.traffic."""

    ranks: list[int]
    kind: str
    count: int
    bytes: int


class MemoryJson(TypedDict):
    """Bytes by category at one moment."""

    parameters: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int


class Record(TypedDict):
    """One steady step of one rank.

    peak   the moment with most bytes, temporaries among its activations
    saved  the moment between a forward and a backward with most activations
    """

    collectives: list[CalledJson]
    peak: MemoryJson
    saved: MemoryJson
    parameters: int
    seconds: float
    process_bytes: int
