"""Names that differ between the torch versions a program can be printed for.

To add a version: its row here, its name in `TorchVersion`, and the list of its names, which
`tests/programs/record_torch_names.py` writes and every program printed for it is held against.
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


VERSIONS: Mapping[TorchVersion, TorchNames] = {
    "2.11": TorchNames("all_gather_tensor_autograd", "reduce_scatter_tensor_autograd"),
    "2.13": TorchNames("all_gather_single_autograd", "reduce_scatter_single_autograd"),
}
