"""Train: `python train.py` in each process, under any launcher that sets RANK, LOCAL_RANK,
WORLD_SIZE, MASTER_ADDR and MASTER_PORT; the scripts in `launch/` start all of them.

Exit codes: 0 trained to the end, 75 stopped by a signal after a checkpoint, 78 the configuration
or the data is wrong (starting again will not help), anything else is a failure.
"""

import argparse
import json
import logging
import math
import os
import resource
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method

import checkpoint
import parallel
from config import (
    BETA1,
    BETA2,
    CHECKPOINT_EVERY,
    COMPILE,
    DEVICE,
    EPS,
    EVAL_EVERY,
    FLOPS_PER_TOKEN,
    GLOBAL_BATCH,
    INIT_ROWS,
    INIT_STD,
    LOG_EVERY,
    LR,
    MIN_LR,
    PEAK_FLOPS,
    PLAN,
    PROMPT,
    REDUCE_EVERY_MICROBATCH,
    SAMPLE_TEMPERATURE,
    SAMPLE_TOKENS,
    SEED,
    SEPARATOR,
    SEQ_LEN,
    STEPS,
    TRAIN_DATA,
    VALIDATION_DATA,
    WARMUP,
    WEIGHT_DECAY,
)
from data import (
    IGNORE,
    Batch,
    Corpus,
    DataError,
    evaluation_batches,
    hash63,
    step_batches,
)
from model import Model
from parallel import ACCUMULATE, ConfigError, connect

log = logging.getLogger("train")
log.addHandler(logging.NullHandler())


class StepResult(NamedTuple):
    loss: float  # mean over the targets of the global batch
    grad_norm: float  # before clipping
    lr: float
    tokens: int  # targets of the global batch
    skipped: bool  # the norm was not finite, the weights are unchanged


def build(device: torch.device, fresh: bool = True) -> tuple[Model, torch.optim.AdamW]:
    """The sharded model and its optimizer; without `fresh`, the weights are yet to be loaded."""
    model = Model()
    blocks = list(model.layers)
    if COMPILE:
        for block in blocks:
            block.compile(fullgraph=True)
    parallel.shard(model, blocks)
    register_fsdp_forward_method(model, "next_logits")
    model.to_empty(device=device)
    if fresh:
        initialize(model)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return model, torch.optim.AdamW(groups, lr=LR, betas=(BETA1, BETA2), eps=EPS, fused=True)


def initialize(model: Model) -> None:
    """Vectors are filled, matrices drawn: every INIT_ROWS rows have a generator of their own,
    so each rank draws what it holds, and all layouts start from the same weights."""
    for name, p in model.named_parameters():
        layout, weight = model.layout[name], parallel.local(p)
        if len(layout.shape) == 1:
            weight.fill_(layout.start)
            continue
        rows, columns = parallel.local_slices(layout)
        for block in range(rows.start // INIT_ROWS, -(-rows.stop // INIT_ROWS)):
            top = block * INIT_ROWS
            generator = torch.Generator().manual_seed(hash63(SEED, name, block))
            height = min(INIT_ROWS, layout.shape[0] - top)
            drawn = torch.empty(height, layout.shape[1]).normal_(0, INIT_STD, generator=generator)
            first, last = max(rows.start, top), min(rows.stop, top + height)
            part = drawn[first - top : last - top, columns]
            weight[first - rows.start : last - rows.start] = part.to(weight)


def learning_rate(step: int) -> float:
    """Linear warm-up, then half a cosine down to MIN_LR at the last step. Steps count from 0."""
    t = step + 1
    if t <= WARMUP:
        return LR * t / WARMUP
    progress = (t - WARMUP) / (STEPS - WARMUP)
    return MIN_LR + (LR - MIN_LR) * (1 + math.cos(math.pi * progress)) / 2


def train_step(
    model: Model, optimizer: torch.optim.AdamW, batches: list[Batch], step: int
) -> StepResult:
    """One optimizer step over the global batch, of which `batches` is this rank's part."""
    targets = torch.stack([(batch.targets != IGNORE).sum() for batch in batches]).sum()
    valid = parallel.all_reduce_data(targets)
    losses: list[Tensor] = []
    for i, batch in enumerate(batches):
        last = i == len(batches) - 1
        parallel.reduce_after_backward(model, last or REDUCE_EVERY_MICROBATCH)
        loss = model(*batch) / valid.clamp(min=1)
        loss.backward()
        losses.append(loss.detach())
    parallel.reduce_gradients(model, model.layout)
    norm = parallel.clip_gradients(model, model.layout).item()
    lr = learning_rate(step)
    skipped = not math.isfinite(norm)  # NaN and Inf survive the sum: every rank sees the same
    if not skipped:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad()
    loss = parallel.all_reduce_data(torch.stack(losses).sum()).item()
    return StepResult(loss, norm, lr, int(valid), skipped)


@torch.no_grad()
def evaluate(model: Model, corpus: Corpus, device: torch.device) -> float:
    """Mean loss over the validation targets of all ranks."""
    totals = torch.zeros(2, dtype=torch.float64)
    for batch in evaluation_batches(corpus, device):
        loss = model(*batch)
        totals += torch.stack([loss.cpu().double(), (batch.targets != IGNORE).sum().cpu().double()])
    parallel.reshard(model)
    loss, valid = parallel.all_reduce_data(totals.to(device, ACCUMULATE)).tolist()
    return loss / max(valid, 1)


@torch.no_grad()
def sample(model: Model, device: torch.device) -> str:
    """SAMPLE_TOKENS bytes that follow PROMPT. Every rank draws the same; nothing is cached."""
    generator = torch.Generator().manual_seed(hash63(SEED, "sample"))
    text = list(PROMPT.encode()) or [SEPARATOR]
    for _ in range(SAMPLE_TOKENS):
        seen = text[-SEQ_LEN:]
        tokens = torch.full((1, SEQ_LEN), SEPARATOR, device=device)
        tokens[0, : len(seen)] = torch.tensor(seen, device=device)
        logits = model.next_logits(tokens, len(seen) - 1)
        odds = (logits.float().cpu() / SAMPLE_TEMPERATURE).softmax(0)
        drawn = int(torch.multinomial(odds, 1, generator=generator))
        if drawn == SEPARATOR or drawn > 255:  # the document ends, or a token that no text has
            break
        text.append(drawn)
    parallel.reshard(model)
    decoded = bytes(text).decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in decoded)


def train(args: argparse.Namespace, device: torch.device) -> int:
    """The run, from wherever it was left to its last step. Returns the exit code."""
    run, steps = Path(args.run), args.steps
    corpus = Corpus(args.data)
    validation = Corpus(VALIDATION_DATA)
    source = checkpoint.agreed(run, args.resume)
    model, optimizer = build(device, fresh=source is None)
    progress = checkpoint.Progress(step=0, position=0, skipped=0)
    if source is not None:
        progress = checkpoint.load(source, model, optimizer)
        log.info("resumed from %s", source)
    else:
        checkpoint.set_aside(run)
    metrics = Metrics(run, progress.step, steps, device)
    count = sum(math.prod(layout.shape) for layout in model.layout.values())
    log.info("%s: %s parameters, %d processes", run.name, f"{count:,}", dist.get_world_size())
    metrics.evaluated(evaluate(model, validation, device))
    while progress.step < steps:
        batches = step_batches(corpus, progress.position, device)
        result = train_step(model, optimizer, batches, progress.step)
        progress = checkpoint.Progress(
            progress.step + 1, progress.position + GLOBAL_BATCH, progress.skipped + result.skipped
        )
        done = progress.step == steps
        val_loss: float | None = None
        if done or progress.step % EVAL_EVERY == 0:
            val_loss = metrics.evaluated(evaluate(model, validation, device))
        metrics.stepped(progress, result, val_loss)
        stop = stop_requested(device)
        if done or stop or progress.step % CHECKPOINT_EVERY == 0:
            checkpoint.save(run, model, optimizer, progress)
        if stop and not done:
            log.info("stopped by a signal after step %d; start again to go on", progress.step)
            return 75
    metrics.summary()
    log.info("sample:\n%s", textwrap.indent(sample(model, device), "  | "))
    log.info("checkpoints, metrics.jsonl and log/ are in %s", run)
    return 0


SIGNALS: list[int] = []


def stop_requested(device: torch.device) -> bool:
    """Whether any rank has been asked to stop; all agree."""
    asked = torch.tensor(len(SIGNALS), device=device)
    dist.all_reduce(asked, dist.ReduceOp.MAX)
    return bool(asked.item())


class Metrics:
    """Lines for people every LOG_EVERY steps, and for programs every step in metrics.jsonl."""

    def __init__(self, run: Path, step: int, steps: int, device: torch.device) -> None:
        self.file = run / "metrics.jsonl" if dist.get_rank() == 0 else None
        self.device, self.steps = device, steps
        self.first: StepResult | None = None
        self.last: StepResult | None = None
        self.val_losses: list[float] = []
        self.marked = step, time.monotonic()
        if self.file is not None:
            lines = self.file.read_text().splitlines() if self.file.exists() else []
            whole = [line for line in lines if line.endswith("}")]  # a crash may cut the last one
            kept = [line for line in whole if json.loads(line)["step"] <= step]
            self.file.write_text("".join(line + "\n" for line in kept))

    def evaluated(self, val_loss: float) -> float:
        self.val_losses.append(val_loss)
        log.info("validation loss %.4f", val_loss)
        return val_loss

    def stepped(
        self, progress: checkpoint.Progress, result: StepResult, val_loss: float | None
    ) -> None:
        step = progress.step
        self.first, self.last = self.first or result, result
        since, then = self.marked
        seconds = time.monotonic() - then
        rate = (step - since) * GLOBAL_BATCH * SEQ_LEN / seconds
        used = rate * FLOPS_PER_TOKEN / dist.get_world_size()
        record = {
            "step": step,
            "loss": finite(result.loss),
            "val_loss": val_loss,
            "grad_norm": finite(result.grad_norm),
            "lr": result.lr,
            "tokens": progress.position * SEQ_LEN,
            "tokens_per_s": rate,
            "mfu": used / PEAK_FLOPS if PEAK_FLOPS else None,
            "memory_gib": peak_memory_gib(self.device),
            "skipped": progress.skipped,
        }
        if self.file is not None:
            with self.file.open("a") as file:
                file.write(json.dumps(record) + "\n")
        if step % LOG_EVERY == 0 or step == self.steps or result.skipped:
            left = (self.steps - step) * seconds / (step - since)
            log.info(
                f"step {step:>{len(str(self.steps))}}/{self.steps}  loss {result.loss:.4f}"
                f"  norm {result.grad_norm:.3f}  lr {result.lr:.2e}  {rate:,.0f} tokens/s"
                f"  {left // 60:.0f}m{left % 60:02.0f}s left"
                + ("  SKIPPED: the norm is not finite" if result.skipped else "")
            )
            self.marked = step, time.monotonic()

    def summary(self) -> None:
        if self.first is not None and self.last is not None:
            log.info("training loss %.4f -> %.4f", self.first.loss, self.last.loss)
        log.info("validation loss %.4f -> %.4f", self.val_losses[0], self.val_losses[-1])


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def peak_memory_gib(device: torch.device) -> float:
    if device.type == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux
    return torch.accelerator.max_memory_allocated() / 2**30


def open_log(run: Path) -> None:
    """Every rank writes log/rank-R.txt; rank 0 also speaks to the terminal."""
    rank = int(os.environ["RANK"])
    try:
        (run / "log").mkdir(parents=True, exist_ok=True)
        log.addHandler(logging.FileHandler(run / "log" / f"rank-{rank}.txt"))
    except OSError as error:
        raise ConfigError(f"cannot write into {str(run)!r}: {error.strerror}") from error
    log.setLevel(logging.INFO)
    if rank == 0:
        terminal = logging.StreamHandler(sys.stdout)
        terminal.addFilter(lambda record: record.levelno < logging.ERROR)
        log.addHandler(terminal)


def own_device() -> torch.device:
    """The CPU, or the accelerator that is this process's on its machine."""
    if DEVICE == "cpu":
        return torch.device("cpu")
    index, present = int(os.environ["LOCAL_RANK"]), torch.accelerator.device_count()
    if index >= present:
        raise ConfigError(f"process {index} finds no {DEVICE} device: {present} are here")
    torch.accelerator.set_device_index(index)
    return torch.device(DEVICE, index)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train as config.py says.")
    parser.add_argument("--steps", type=int, default=STEPS, help="stop after step N (%(default)s)")
    parser.add_argument("--run", default=f"runs/{PLAN}", help="folder of the run (%(default)s)")
    parser.add_argument(
        "--resume", default="auto", help="auto (newest checkpoint of the run), never, or a folder"
    )
    parser.add_argument("--data", default=TRAIN_DATA, help="file or folder to train on")
    args = parser.parse_args()
    if not 0 < args.steps <= STEPS:
        raise ConfigError(f"--steps {args.steps}: the learning rate is laid out for {STEPS} steps")
    return args


def main() -> int:
    missing = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - os.environ.keys()
    if missing:
        print(f"set {', '.join(sorted(missing))}, or use a script of launch/", file=sys.stderr)
        return 78
    try:
        args = parse_arguments()
        open_log(Path(args.run))
        for name in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(name, lambda number, frame: SIGNALS.append(number))
        device = own_device()
        connect(device)
        code = train(args, device)
        dist.destroy_process_group()
        return code
    except (ConfigError, DataError) as error:
        log.error("error: %s", error)
        if os.environ["LOCAL_RANK"] == "0":
            print(f"error: {error}", file=sys.stderr)
        return 78
    except Exception:
        log.exception("failed")
        raise


if __name__ == "__main__":
    sys.exit(main())
