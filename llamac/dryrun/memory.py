"""Memory of a stepping program by whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from llamac.dryrun.record import MemoryJson
from llamac.dryrun.recorder import Recorder, storage_key

CATEGORIES = tuple(MemoryJson.__annotations__)
NOTHING = MemoryJson(parameters=0, gradients=0, optimizer=0, gathered=0, activations=0)
GROWTH = 1.01
"""The categories of the peak are recorded again once it has grown by this factor."""


class FsdpParameter(Protocol):
    """What FSDP2 keeps of one parameter: its own names."""

    sharded_param: Tensor
    all_gather_outputs: list[Tensor]
    unsharded_accumulated_grad: Tensor | None


class Watch:
    """Memory at the two moments of a `Record`; fed by its recorder."""

    def __init__(self, models: list[nn.Module], optimizer: torch.optim.Optimizer) -> None:
        self.models, self.optimizer = models, optimizer
        self.recorder = Recorder(self._grown)
        self.watching = False
        self._next = 0.0
        self.peak = self.saved = NOTHING

    def start(self) -> None:
        """Watch what comes: forget the moments and collectives of a step before."""
        self.watching, self._next = True, 0.0
        self.peak = self.saved = NOTHING
        self.recorder.counts.clear()
        self.recorder.bytes.clear()

    def before_backward(self) -> None:
        if self.watching:
            now = self._now()
            if now["activations"] > self.saved["activations"]:
                self.saved = now

    def _grown(self, total: int) -> None:
        if self.watching and total > self._next:
            self.peak = self._now()
            self._next = total * GROWTH

    def _now(self) -> MemoryJson:
        """Every living storage by its owner; activations are all that is nobody's."""
        owners = dict(self._owners())
        found = dict.fromkeys(CATEGORIES, 0)
        for key, living in self.recorder.living():
            found[owners.get(key, "activations")] += living
        return cast("MemoryJson", found)

    def _owners(self) -> Iterator[tuple[int, str]]:
        for state in self.optimizer.state.values():
            for tensor in cast("dict[str, object]", state).values():
                if isinstance(tensor, Tensor):
                    yield storage_key(tensor), "optimizer"
        for p in fsdp_parameters(self.models):
            for tensor in p.all_gather_outputs:
                yield storage_key(tensor), "gathered"
            whole = cast("Tensor | None", getattr(p, "_unsharded_param", None))
            pending = None if whole is None else whole.grad
            for gradient in (p.sharded_param.grad, p.unsharded_accumulated_grad, pending):
                if gradient is not None:
                    yield storage_key(gradient), "gradients"
            yield storage_key(p.sharded_param), "parameters"


def fsdp_parameters(models: list[nn.Module]) -> Iterator[FsdpParameter]:
    """FSDP's own record of every parameter, which it shows to nobody."""
    for model in models:
        for module in model.modules():
            if isinstance(module, FSDPModule):
                state = cast("object", module._get_fsdp_state())  # pyright: ignore
                group = cast("object", getattr(state, "_fsdp_param_group", None))
                yield from cast("list[FsdpParameter]", getattr(group, "fsdp_params", []))
