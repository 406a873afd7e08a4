"""Listens to a program that runs under fake tensors: its collectives and its living storages."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group  # pyright: ignore[reportPrivateUsage]
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.distributed.distributed_c10d import GroupName
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Called = tuple[tuple[int, ...], str]
"""Ranks of the group, and the kind."""

KINDS: dict[str, tuple[str, int]] = {
    "_c10d_functional::all_gather_into_tensor": ("all_gather", -1),
    "_c10d_functional::reduce_scatter_tensor": ("reduce_scatter", 0),
    "_c10d_functional::all_reduce": ("all_reduce", 0),
    "_c10d_functional::all_reduce_": ("all_reduce", 0),
    "_c10d_functional::all_to_all_single": ("all_to_all", 0),
    "c10d::_allgather_base_": ("all_gather", 0),
    "c10d::_reduce_scatter_base_": ("reduce_scatter", 1),
    "c10d::allreduce_": ("all_reduce", 0),
    "c10d::broadcast_": ("broadcast", 0),
    "c10d::send": ("send", 0),
    "c10d::recv_": ("receive", 0),
}
"""Kind, and where its whole buffer is: the index of an argument, or -1 for the result."""

QUIET = {"_c10d_functional::wait_tensor", "c10d::barrier"}
"""They move no data."""


class UnknownCollective(Exception):
    """The program calls a collective that this recorder has no entry for."""


class Recorder(TorchDispatchMode):
    """Counts collectives and adds up storages while it is entered.

    total      bytes of all storages that live
    on_growth  called with it after each allocation
    """

    supports_higher_order_operators = True  # a compiled region that computes again calls some

    def __init__(self, on_growth: Callable[[int], None]) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  untyped in torch
        self.counts: Counter[Called] = Counter()
        self.bytes: Counter[Called] = Counter()
        self.total = 0
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}
        self._on_growth = on_growth

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Regions that the program compiles stay compiled; what they call is seen as it runs."""
        return True

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: tuple[type, ...],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # its local operators come by on their own
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            return 1.0 if args[0].is_floating_point() else 1  # `.item()` of what has no value
        result = cast("object", func(*args, **(kwargs or {})))
        if func.namespace in ("c10d", "_c10d_functional"):
            self._collective(func, args, result)
        for tensor in tensors(result):
            self.track(tensor)
        return result

    def living(self) -> Iterator[tuple[int, int]]:
        """(`storage_key`, bytes) of every storage that lives."""
        for key, (_, size) in self._alive.items():
            yield key, size

    def track(self, tensor: Tensor) -> None:
        """Count a tensor's storage until it is freed."""
        storage, key = local(tensor).untyped_storage(), storage_key(tensor)
        if key in self._alive:
            return

        def gone(_: weakref.ref[torch.UntypedStorage]) -> None:
            self.total -= self._alive.pop(key)[1]

        self._alive[key] = (weakref.ref(storage, gone), 0)
        self.resized(storage)

    def resized(self, storage: torch.UntypedStorage) -> None:
        """FSDP frees and allocates by resizing: to be told after each."""
        key = address(storage)
        if key in self._alive:
            reference, before = self._alive[key]
            self._alive[key] = (reference, storage.nbytes())
            self.total += storage.nbytes() - before
            self._on_growth(self.total)

    def _collective(self, func: OpOverload, args: tuple[object, ...], result: object) -> None:
        name = func.name().split(".")[0]
        if name in QUIET:
            return
        if name not in KINDS:
            raise UnknownCollective(name)
        kind, index = KINDS[name]
        called = (_ranks(args), kind)
        self.counts[called] += 1
        buffers = tensors(result if index < 0 else args[index])
        self.bytes[called] += sum(t.numel() * t.element_size() for t in buffers)


def tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in cast("list[object]", tree_leaves(tree)) if isinstance(leaf, Tensor)]


def local(tensor: Tensor) -> Tensor:
    """What a rank holds of a tensor."""
    return cast("Tensor", getattr(tensor, "_local_tensor", tensor))


def storage_key(tensor: Tensor) -> int:
    """Equal for tensors, or their local parts, that lie in one storage."""
    return address(local(tensor).untyped_storage())


def address(storage: torch.UntypedStorage) -> int:
    """Fake storages have no data pointer; their own address tells them apart."""
    return storage._cdata  # pyright: ignore[reportPrivateUsage]


def _ranks(args: Iterable[object]) -> tuple[int, ...]:
    """The ranks of the group among a collective's arguments: an object, or the last string."""
    name = ""
    for argument in args:
        if isinstance(argument, torch.ScriptObject):
            return tuple(dist.get_process_group_ranks(dist.ProcessGroup.unbox(argument)))
        if isinstance(argument, str):
            name = argument
    return tuple(dist.get_process_group_ranks(_resolve_process_group(GroupName(name))))
