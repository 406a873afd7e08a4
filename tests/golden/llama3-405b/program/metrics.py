"""Reporting: lines for people, metrics.jsonl for programs, and a profile on request.

mfu is model FLOPs utilisation: a phase's FLOPs count what the model needs, forward and backward,
and nothing that is computed twice, over the bf16 peak of every device.
"""

import json
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

from checkpoint import Progress, sync
from config import LOG_EVERY, PEAK_FLOPS
from data import phase_at
from parallel import ConfigError, log

CLEAR = "\r\033[K"  # what overwrites the progress bar on a terminal


class StepResult(NamedTuple):
    loss: float  # mean over the targets of the global batch
    grad_norm: float  # before clipping
    lr: float
    tokens: int  # targets of the global batch
    skipped: bool  # the norm was not finite, the weights are unchanged
    seconds: float = 0.0  # with reading its data, and nothing else


class Metrics:
    """Lines for people every LOG_EVERY steps, and for programs every step in metrics.jsonl."""

    def __init__(self, run: Path, progress: Progress, steps: int, device: torch.device) -> None:
        self.file = run / "metrics.jsonl" if dist.get_rank() == 0 else None
        self.device, self.steps = device, steps
        self.position, self.marked = progress.position, (progress.step, time.monotonic())
        if self.file is not None:
            kept: list[bytes] = []
            for line in self.file.read_bytes().splitlines() if self.file.exists() else []:
                with suppress(ValueError):  # of a line that a crash has cut or left without bytes
                    kept += [line + b"\n"] if json.loads(line)["step"] <= progress.step else []
            self.file = self.file.resolve()  # a link stays one, and names the new file
            rest = self.file.with_suffix(".partial")
            rest.write_bytes(b"".join(kept))
            sync(rest)
            rest.replace(self.file)  # at once, whenever this process may be killed
            self.end, self.refused = self.file.stat().st_size, b""

    def record_step(self, progress: Progress, result: StepResult, val_loss: float | None) -> None:
        step, (since, then) = progress.step, self.marked
        rate = (progress.position - self.position) / result.seconds
        self.position = progress.position
        used = rate * phase_at(progress.position - 1).flops / dist.get_world_size()
        record = {
            "step": step,
            "loss": result.loss if math.isfinite(result.loss) else None,  # JSON has no NaN
            "val_loss": val_loss,
            "grad_norm": result.grad_norm if math.isfinite(result.grad_norm) else None,
            "lr": result.lr,
            "tokens": progress.position,
            "tokens_per_s": rate,
            "mfu": used / PEAK_FLOPS if PEAK_FLOPS else None,
            "memory_gib": peak_memory_gib(self.device),
            "skipped": progress.skipped,
        }
        if self.file is not None:
            self.refused += json.dumps(record).encode() + b"\n"
            try:
                with self.file.open("r+b") as file:
                    file.seek(self.end)
                    file.write(self.refused)
                self.end, self.refused = self.end + len(self.refused), b""
            except OSError as error:  # of a full disk, perhaps: the next step tries again
                log.warning("metrics.jsonl was not written: %s", error)
        left = round((self.steps - step) * (time.monotonic() - then) / (step - since))
        line = (
            f"step {step:>{len(str(self.steps))}}/{self.steps}  loss {result.loss:.4f}"
            f"  norm {result.grad_norm:.3f}  lr {result.lr:.2e}  {rate:,.0f} tokens/s"
            f"  {left // 60}m{left % 60:02}s left"
        )
        if step % LOG_EVERY == 0 or step == self.steps or result.skipped:
            log.info(line + ("  SKIPPED: the norm is not finite" if result.skipped else ""))
            self.marked = step, time.monotonic()
        elif self.file is not None and sys.stdout.isatty():
            print(f"{CLEAR}[{'=' * (step * 20 // self.steps):<20}] {line}", end="", flush=True)


def peak_memory_gib(device: torch.device) -> float:
    if device.type == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux
    return torch.accelerator.max_memory_allocated() / 2**30


@contextmanager
def profile_steps(run: Path, device: torch.device) -> Iterator[None]:
    """Write what this rank does meanwhile to profile/rank-R.json, for chrome://tracing; on CUDA
    also its allocations, for pytorch.org/memory_viz, to memory-R.pickle."""
    folder, rank, memory = run / "profile", dist.get_rank(), torch.cuda.memory
    folder.mkdir(parents=True, exist_ok=True)
    if device.type == "cuda":
        memory._record_memory_history(max_entries=100_000)
    with torch.profiler.profile() as profile:
        yield
    profile.export_chrome_trace(str(folder / f"rank-{rank}.json"))
    if device.type == "cuda":
        memory._dump_snapshot(str(folder / f"memory-{rank}.pickle"))
        memory._record_memory_history(enabled=None)
    log.info("profile: %s", folder)


def open_log(run: Path) -> None:
    """Each rank writes log/rank-R.txt: what is wrong; rank 0 all, and to the terminal as well."""
    rank = int(os.environ["RANK"])
    try:
        (run / "log").mkdir(parents=True, exist_ok=True)
        file = (run / "log" / f"rank-{rank}.txt").open("a")
    except OSError as error:
        raise ConfigError(f"cannot write into {str(run)!r}: {error.strerror}") from error
    logging.raiseExceptions = False  # a full disk is reported by other means
    log.addHandler(logging.StreamHandler(file))
    log.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    if rank == 0:
        try:
            flock(file, LOCK_EX | LOCK_NB)  # as long as this process lives
        except OSError as error:  # a file system need not know locks
            if isinstance(error, BlockingIOError):
                sys.exit(f"error: another run is at work in {str(run)!r}; name another --run")
        terminal = logging.StreamHandler(sys.stdout)
        terminal.addFilter(lambda record: record.levelno < logging.ERROR)
        if sys.stdout.isatty():
            terminal.setFormatter(logging.Formatter(f"{CLEAR}%(message)s"))
        log.addHandler(terminal)
