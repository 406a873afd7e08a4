"""One rank of an emitted program, built and stepped under fake tensors and a fake process group.

Run as a process of its own: `python -m llamac.dryrun.probe PROGRAM RANK WORLD MODE OUTPUT
POSITION...`, the positions being tokens of the run at which steps begin: one in each phase.
The program's text is as emitted. This module changes how it runs: no weights are drawn (fake
tensors hold no numbers), layers are compiled for counting instead of speed, and attention is a
kernel that keeps what CUDA's keeps (queries, keys, values, output, log-sum-exp), without a dense
mask.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.pipelining.stage import _PipelineStageBase  # pyright: ignore[reportPrivateUsage]
from torch.testing._internal.distributed.fake_pg import FakeStore

from llamac.dryrun.memory import Watch, fsdp_parameters
from llamac.dryrun.record import CalledJson, Record
from llamac.dryrun.recorder import local

Mode = Literal["compiled", "eager"]


def probe(folder: Path, rank: int, world: int, mode: Mode, positions: list[int]) -> list[Record]:
    """A step at each position, in one process as the program does it. The optimizer's state is made
    first, as a first step would."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    adapt_torch(fake)
    config, parallel, data, train = import_program(folder, rank, world)
    vars(config)["COMPILE"] = mode == "compiled"  # train.py reads it late, model.py has
    dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    device = torch.device("cpu")
    parallel.connect(device)
    model, optimizer = train.build(device, fresh=False)
    wrapped: list[nn.Module] = getattr(model, "stages", [model])  # what FSDP wraps as a whole
    watch = Watch(wrapped, optimizer)
    listen(watch)
    with fake, watch.recorder:
        for p in fsdp_parameters(wrapped):
            watch.recorder.track(p.sharded_param)
        fill_state(optimizer)
        return [step(watch, data, train, (model, optimizer), position) for position in positions]


def step(
    watch: Watch,
    data: ModuleType,
    train: ModuleType,
    built: tuple[nn.Module, torch.optim.Optimizer],
    position: int,
) -> Record:
    """One step, watched from its start."""
    batches = data.step_batches(Zeros(data), position, torch.device("cpu"))
    watch.start()
    started = time.monotonic()
    train.train_step(*built, batches, 0)
    seconds = time.monotonic() - started
    recorder = watch.recorder
    return Record(
        collectives=[
            CalledJson(ranks=list(called[0]), kind=called[1], count=n, bytes=recorder.bytes[called])
            for called, n in recorder.counts.items()
        ],
        peak=watch.peak,
        saved=watch.saved,
        parameters=sum(local(p.sharded_param).numel() for p in fsdp_parameters(watch.models)),
        seconds=seconds,
        process_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # KiB on Linux
    )


def import_program(folder: Path, rank: int, world: int) -> tuple[ModuleType, ...]:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    return tuple(importlib.import_module(m) for m in ("config", "parallel", "data", "train"))


def adapt_torch(fake: FakeTensorMode) -> None:
    """Where fake tensors need another function of torch than the program calls."""

    def to_fake(original: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def to_empty(self: nn.Module, **options: object) -> nn.Module:
            with fake:
                return original(self, **options)

        return to_empty

    def counted(original: Callable[..., None]) -> Callable[..., None]:
        def compile_(self: nn.Module, **options: object) -> None:
            original(self, **{**options, "backend": "aot_eager_decomp_partition"})

        return compile_

    wrap(nn.Module, "to_empty", to_fake)
    wrap(nn.Module, "compile", counted)
    wrap(F, "scaled_dot_product_attention", lambda _: attend)


def listen(watch: Watch) -> None:
    """Tell the watch of what no operator says: a backward begins, a storage is resized."""

    def announced(original: Callable[..., object]) -> Callable[..., object]:
        def backward(*args: object, **kwargs: object) -> object:
            watch.before_backward()
            return original(*args, **kwargs)

        return backward

    def told(original: Callable[..., object]) -> Callable[..., object]:
        def resize(storage: torch.UntypedStorage, size: int) -> object:
            result = original(storage, size)
            watch.recorder.resized(storage)
            return result

        return resize

    wrap(Tensor, "backward", announced)
    wrap(_PipelineStageBase, "backward_one_chunk", announced)
    wrap(torch.UntypedStorage, "resize_", told)


def wrap(owner: object, name: str, wrapper: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrapper(getattr(owner, name)))


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """In place of `F.scaled_dot_product_attention`: the shapes and the saved set of a kernel."""
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return cast("Tensor", flash(q, k, v, dropout_p, is_causal, scale=scale)[0])


def fill_state(optimizer: torch.optim.Optimizer) -> None:
    """The optimizer makes its state when it first steps."""
    every = [cast("Tensor", p) for group in optimizer.param_groups for p in group["params"]]
    for p in every:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad()


class Zeros:
    """In place of the program's Corpus: as many tokens as are asked for."""

    sequences = blocks = 2**40
    separator = 1

    def __init__(self, data: ModuleType) -> None:
        mixed: tuple[tuple[str, int], ...] = getattr(data, "MIXTURE", ())
        self.sources = {name: (0, 2**60) for name, _ in mixed}

    def read(self, first: int, last: int) -> Tensor:
        return torch.zeros(last - first, dtype=torch.int64)


def main() -> None:
    folder, rank, world, mode, output, *positions = sys.argv[1:]
    at = [int(position) for position in positions]
    records = probe(Path(folder), int(rank), int(world), cast("Mode", mode), at)
    Path(output).write_text(json.dumps(records), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # without the interpreter's exit: fake groups have nobody to say farewell to


if __name__ == "__main__":
    main()
