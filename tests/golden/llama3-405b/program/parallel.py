"""The mesh, the sharding of parameters, every collective, gradient sums and clipping.

Tensor parallelism is written out: parameters are plain tensors that each rank already holds cut,
and the model calls the collectives below by axis and dimension. FSDP2 shards over data ranks.
"""

import json
import logging
import math
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C import _distributed_c10d
from torch.distributed import _functional_collectives as functional
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

import config
from launcher import HUNG, WORLD

PARAMETER: torch.dtype = getattr(torch, config.PARAMETER_DTYPE)
COMPUTE: torch.dtype = getattr(torch, config.COMPUTE_DTYPE)
REDUCE: torch.dtype = getattr(torch, config.REDUCE_DTYPE)
ACCUMULATE: torch.dtype = getattr(torch, config.ACCUMULATE_DTYPE)
log = logging.getLogger("train")
log.addHandler(logging.NullHandler())

SIZES = {"pp": config.PP, "tp": config.TP, "fsdp": config.FSDP}
AXES = tuple(SIZES)
DATA_AXES = ("fsdp",)
MESHES: dict[str, DeviceMesh] = {}  # axis -> the mesh that has it
GROUPS: dict[str, dist.ProcessGroup] = {}  # axis -> the group this rank is in
COORDINATES: dict[str, int] = {}  # axis -> this rank's place on it
coordinate = COORDINATES.__getitem__

# Layers of each virtual stage; stage s runs on rank s % PP of pp.
STAGES = tuple(layers for count, layers in config.STAGE_RUNS for _ in range(count))


class ConfigError(Exception):
    """The program cannot run as configured; starting it again will not help."""


def connect(device: torch.device) -> None:
    """Join the other processes and build one process group per axis."""
    if not dist.is_initialized():
        os.environ.setdefault("TORCH_FR_BUFFER_SIZE", "2000")  # for `describe_pending`
        backend = dist.get_default_backend_for_device(device)
        try:
            dist.init_process_group(backend, device_id=None if device.type == "cpu" else device)
        except dist.DistNetworkError as error:
            if "EADDRINUSE" not in str(error):
                raise
            port = os.environ["MASTER_PORT"]
            raise ConfigError(f"MASTER_PORT={port} is in use on this node; set another") from error
    # Ranks count tp, then pp, then dp, the first the fastest.
    ranks = torch.arange(WORLD).view(config.DP, config.PP, config.TP)
    ranks = ranks.permute(1, 0, 2)  # pp, dp, tp
    # FSDP cuts over dp. Its axis comes last: the rows of a parameter that
    # tp cuts too are dealt out over tp first, and so they are in a checkpoint.
    ranks = ranks.reshape(config.PP, config.FSDP, config.TP).transpose(-1, -2)
    add_mesh(device, ranks, ("pp", "tp", "fsdp"))


def add_mesh(device: torch.device, ranks: Tensor, axes: tuple[str, ...]) -> None:
    mesh = DeviceMesh(device.type, ranks, mesh_dim_names=axes)
    for axis in axes:
        group = mesh.get_group(axis)
        # Groups sort their ranks; a mesh that does not ascend would silently permute checkpoints.
        if group.rank() != mesh.get_local_rank(axis):
            raise AssertionError(f"mesh axis {axis} does not list its ranks in ascending order")
        MESHES[axis], GROUPS[axis], COORDINATES[axis] = mesh, group, group.rank()


# Collectives. Each waits at once: a pending tensor loses its gradient in a compiled region.


def wait_if_pending(x: Tensor) -> Tensor:
    """Compiled code has already waited; a second wait would save x for the backward."""
    return functional.wait_tensor(x) if isinstance(x, functional.AsyncCollectiveTensor) else x


def all_gather(x: Tensor, axis: str, dim: int) -> Tensor:
    """Shards of dimension `dim` -> the whole on every rank; backward: reduce-scatter."""
    return wait_if_pending(functional.all_gather_single_autograd(x, dim, GROUPS[axis]))


def reduce_scatter(x: Tensor, axis: str, dim: int) -> Tensor:
    """Partial sums -> this rank's shard of their sum; backward: all-gather."""
    return wait_if_pending(functional.reduce_scatter_single_autograd(x, "sum", dim, GROUPS[axis]))


class SumPartials(torch.autograd.Function):
    """Partial sums -> their sum, used alike by every rank: the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: object, x: Tensor, axis: str) -> Tensor:
        return all_reduce(x, axis)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def sum_partials(x: Tensor, axis: str) -> Tensor:
    return cast(Tensor, SumPartials.apply(x, axis))


def all_reduce(x: Tensor, axis: str, op: str = "sum") -> Tensor:
    """For values that need no gradient."""
    return functional.wait_tensor(functional.all_reduce(x, op, GROUPS[axis]))


def all_reduce_data(x: Tensor) -> Tensor:
    """Sum over every rank that reads other data."""
    return reduce(all_reduce, DATA_AXES, x)


@dataclass(frozen=True)
class Layout:
    """Layout of one parameter: FSDP cuts dimension 0 of what `cuts` leaves."""

    shape: tuple[int, ...]  # of the whole parameter
    cuts: dict[str, int]  # axis -> the dimension it cuts
    partial: tuple[str, ...]  # axes over which its gradient is a partial sum after the backward
    start: float  # what a vector is filled with at first; matrices are drawn


class Parameter(nn.Parameter):
    """A parameter as this rank holds it, without storage until the model is sharded."""

    placement: Layout


def parameter(
    *shape: int, start: float = 1.0, partial: str | None = None, **cuts: int
) -> Parameter:
    """`parameter(rows, columns, tp=0)`: whole shape, and the dimension each axis cuts."""
    local = list(shape)
    for axis, dim in cuts.items():
        local[dim] //= SIZES[axis]
    made = Parameter(torch.empty(local, dtype=PARAMETER, device="meta"))
    made.placement = Layout(shape, cuts, () if partial is None else (partial,), start)
    return made


def layout_of(module: nn.Module) -> dict[str, Layout]:
    return {n: p.placement for n, p in module.named_parameters() if isinstance(p, Parameter)}


def local_slices(layout: Layout) -> tuple[slice, ...]:
    """Which part of the whole parameter this rank holds."""
    starts, sizes = [0] * len(layout.shape), list(layout.shape)
    for axis, dim in layout.cuts.items():
        sizes[dim] //= SIZES[axis]
        starts[dim] += coordinate(axis) * sizes[dim]
    rows = math.ceil(sizes[0] / config.FSDP)  # as FSDP2 deals them out: the last may be short
    first = min(coordinate("fsdp") * rows, sizes[0])
    starts[0] += first
    sizes[0] = min(rows, sizes[0] - first)
    return tuple(slice(start, start + n) for start, n in zip(starts, sizes, strict=True))


def local(tensor: Tensor | None) -> Tensor:
    """This rank's part of a parameter, its gradient or its moments."""
    if not isinstance(tensor, DTensor):
        raise TypeError("FSDP holds every parameter and gradient as a DTensor")
    return tensor.to_local().detach()


def shard(model: nn.Module, blocks: list[nn.Module]) -> None:
    """FSDP2 over fsdp, one unit per block; it also casts for mixed precision."""
    mesh = MESHES["fsdp"]["fsdp"]
    policy = MixedPrecisionPolicy(COMPUTE, REDUCE, cast_forward_inputs=False)
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1  # the backward starts with it
        reshard = config.RESHARD_AFTER_FORWARD and not last
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=reshard)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Gradients are sums: the loss is already divided by the tokens of the global batch.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def reduce_gradients(model: nn.Module, layout: dict[str, Layout]) -> None:
    """Sum the gradients that are still partial over a tensor-parallel axis, one buffer per axis."""
    for axis in ("tp",):
        named = model.named_parameters()
        partial = [local(p.grad) for name, p in named if axis in layout[name].partial]
        if not partial:  # a stage without layers
            continue
        total = all_reduce(torch.cat([g.flatten() for g in partial]), axis)
        for gradient, part in zip(partial, total.split([g.numel() for g in partial]), strict=True):
            gradient.copy_(part.view_as(gradient))


def clip_gradients(model: nn.Module, layout: dict[str, Layout]) -> Tensor:
    """Global norm of the gradients, which are scaled so that it is at most CLIP. Squares
    are summed over exactly the axes that cut a parameter, so copies count once."""
    squares: dict[tuple[str, ...], Tensor] = {}
    for name, p in model.named_parameters():
        axes = tuple(layout[name].cuts)
        square = local(p.grad).to(ACCUMULATE).square().sum()
        squares[axes] = squares[axes] + square if axes in squares else square
    totals = [reduce(all_reduce, axes, square) for axes, square in squares.items()]
    total = all_reduce(torch.stack(totals).sum(), "fsdp")
    norm = all_reduce(total, "pp").sqrt()  # stages hold different layers
    scale = (config.CLIP / (norm + 1e-6)).clamp(max=1.0)
    for p in model.parameters():
        local(p.grad).mul_(scale)
    return norm


class Watchdog(threading.Thread):
    """Counts seconds without progress. At PATIENCE every rank logs where it waits, and rank 0
    prints which ranks do not respond; then the process ends. Torch's own timeouts name no rank."""

    idle = 0  # seconds since the last progress

    def __init__(self, logs: Path) -> None:
        super().__init__(daemon=True)
        self.main, self.logs = threading.get_ident(), logs
        self.start()

    @staticmethod
    def reset() -> None:
        """Called after every piece of progress."""
        Watchdog.idle = 0

    def run(self) -> None:
        while Watchdog.idle < config.PATIENCE:
            time.sleep(1)
            Watchdog.idle += 1  # seconds in which this process ran: a stopped one did not wait
        try:
            self.report(int(os.environ["RANK"]), range(int(os.environ["WORLD_SIZE"])))
        finally:
            os._exit(HUNG)

    def report(self, rank: int, ranks: range) -> None:
        stack = traceback.extract_stack(sys._current_frames()[self.main])
        own = [frame for frame in stack if Path(frame.filename).parent == Path(__file__).parent]
        at = next(frame for frame in reversed(own) if frame.filename != __file__)
        line = f"{Path(at.filename).name}:{at.lineno}: {at.line}"
        waits = f"rank {rank} waits in {describe_pending()}, at {line}"
        report = f"no progress for {config.PATIENCE:.0f} s: {waits}"
        log.error(report)
        # Until all ranks have noticed; the others stay until ranks 0 and 1 have reported.
        time.sleep(5 if rank < 2 else 15)
        if rank < 2:  # rank 1 speaks for rank 0, which may be the one
            paths = [self.logs / f"rank-{r}.txt" for r in ranks]  # of one that never started, none
            last = [p.read_text().strip().rpartition("\n")[2] if p.exists() else "" for p in paths]
            silent = [r for r in ranks if not last[r].startswith("no progress")]
            print(f"{report}; no response from ranks {silent} of {len(ranks)}", file=sys.stderr)


def describe_pending() -> str:
    """Collectives that have begun and not ended, from torch's flight recorders; those of FSDP and
    of the backward too. Every rank of a group gives them the same numbers."""
    axes = {group.group_name: axis for axis, group in GROUPS.items()}
    names = [
        f"{entry['profiling_name']} number {entry['collective_seq_id']} over "
        + axes.get(entry["process_group"][0], "all ranks")
        for backend in ("fr", "nccl")  # gloo has the first
        if (dump := vars(_distributed_c10d).get(f"_dump_{backend}_trace_json"))
        for entry in json.loads(dump(True, False)).get("entries", [])
        if not entry["retired"]
    ]
    return " and ".join(names) or "no collective"
