"""What a seeded fault is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Need = Literal[
    "dp",
    "replicate",
    "unsharded",
    "zero1",
    "zero2",
    "tp",
    "kv_copy",
    "cp",
    "pp",
    "accumulation",
    "recompute",
    "window",
    "tied",
    "clip",
    "ramp",
    "samples",
]


@dataclass(frozen=True)
class Fault:
    """old -> new in one file; `old` must stand there exactly `times` times.

    needs  what a plan must have for the fault to exist
    """

    name: str
    says: str
    needs: tuple[Need, ...]
    file: str
    old: str
    new: str
    times: int = 1
