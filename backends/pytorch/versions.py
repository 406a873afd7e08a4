"""Names that differ between the torch versions that a program can be printed for.

The versions are listed here and nowhere else. To add one: a row here, its name in `TorchVersion`,
and the list of torch's names, which `tests/programs/record_torch_names.py` writes and tests compare
every program with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

TorchVersion = Literal["2.11", "2.13"]


@dataclass(frozen=True)
class TorchNames:
    """Collectives that differentiate, of `torch.distributed._functional_collectives`."""

    all_gather: str
    reduce_scatter: str


NEWEST: TorchVersion = "2.13"
"""What a program is printed for, if nobody asks for another version."""

VERSIONS: Mapping[TorchVersion, TorchNames] = {
    "2.11": TorchNames("all_gather_tensor_autograd", "reduce_scatter_tensor_autograd"),
    "2.13": TorchNames("all_gather_single_autograd", "reduce_scatter_single_autograd"),
}
