"""Train: `python train.py` in each process, under any launcher that sets RANK, LOCAL_RANK,
WORLD_SIZE, MASTER_ADDR and MASTER_PORT; the scripts in `launch/` start all of them. launcher.py
lists the exit codes.
"""

import argparse
import math
import os
import signal
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import register_fsdp_forward_method

import checkpoint
import config
import data
import parallel
from failures import Listener, fail
from launcher import NOT_FINITE, NOT_SAVED, STOPPED, WRONG, launch_problem
from metrics import Metrics, StepResult, open_log, profile_steps
from model import Model
from parallel import ACCUMULATE, ConfigError, Watchdog, connect, log


def build(device: torch.device, fresh: bool = True) -> tuple[Model, torch.optim.AdamW]:
    """The sharded model and its optimizer; without `fresh`, the weights are yet to be loaded."""
    model = Model()
    blocks = list(model.layers)
    if config.COMPILE:
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
        {"params": matrices, "weight_decay": config.WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    betas = config.BETA1, config.BETA2
    return model, torch.optim.AdamW(groups, lr=config.LR, betas=betas, eps=config.EPS, fused=True)


def initialize(model: Model) -> None:
    """Vectors are filled, matrices drawn: every INIT_ROWS rows have a generator of their own,
    so each rank draws what it holds, and all layouts start from the same weights."""
    for name, p in model.named_parameters():
        Watchdog.reset()
        layout, weight = model.layout[name], parallel.local(p)
        if len(layout.shape) == 1:
            weight.fill_(layout.start)
            continue
        rows, columns = parallel.local_slices(layout)
        for block in range(rows.start // config.INIT_ROWS, -(-rows.stop // config.INIT_ROWS)):
            top = block * config.INIT_ROWS
            generator = torch.Generator().manual_seed(data.hash63(config.SEED, name, block))
            height = min(config.INIT_ROWS, layout.shape[0] - top)
            drawn = torch.empty(height, layout.shape[1])
            drawn.normal_(0, config.INIT_STD, generator=generator)
            first, last = max(rows.start, top), min(rows.stop, top + height)
            part = drawn[first - top : last - top, columns]
            weight[first - rows.start : last - rows.start] = part.to(weight)


def learning_rate(step: int) -> float:
    """Linear warm-up, then half a cosine down to MIN_LR at the last step. Steps count from 0."""
    t = step + 1
    if t <= config.WARMUP:
        return config.LR * t / config.WARMUP
    progress = (t - config.WARMUP) / (config.STEPS - config.WARMUP)
    return config.MIN_LR + (config.LR - config.MIN_LR) * (1 + math.cos(math.pi * progress)) / 2


def train_step(
    model: Model, optimizer: torch.optim.AdamW, batches: list[data.Batch], step: int
) -> StepResult:
    """One optimizer step over the global batch, of which `batches` is this rank's part."""
    targets = torch.stack([(batch.targets != data.IGNORE).sum() for batch in batches]).sum()
    valid = parallel.all_reduce_data(targets)
    losses: list[Tensor] = []
    for i, batch in enumerate(batches):
        last = i == len(batches) - 1
        parallel.reduce_after_backward(model, last or config.REDUCE_EVERY_MICROBATCH)
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
def evaluate(model: Model, corpus: data.Corpus, device: torch.device) -> float:
    """Mean loss over the validation targets of all ranks."""
    totals = torch.zeros(2, dtype=torch.float64)
    for batch in data.evaluation_batches(corpus, device):
        loss = model(*batch)
        Watchdog.reset()
        valid = (batch.targets != data.IGNORE).sum()
        totals += torch.stack([loss.cpu().double(), valid.cpu().double()])
    parallel.reshard(model)
    loss, valid = parallel.all_reduce_data(totals.to(device, ACCUMULATE)).tolist()
    return loss / max(valid, 1)


@torch.no_grad()
def next_logits(model: Model, text: list[int], device: torch.device) -> Tensor:
    """Logits [vocab] of what follows the last SEQ_LEN tokens of `text`, the same on every rank."""
    Watchdog.reset()
    seen = text[-config.SEQ_LEN :]
    tokens = torch.full((1, config.SEQ_LEN), config.SEPARATOR, device=device)
    tokens[0, : len(seen)] = torch.tensor(seen, device=device)
    return model.next_logits(tokens, len(seen) - 1)


def sample(model: Model, device: torch.device) -> str:
    """SAMPLE_TOKENS bytes that follow PROMPT. Every rank draws the same; nothing is cached."""
    generator = torch.Generator().manual_seed(data.hash63(config.SEED, "sample"))
    text = list(config.PROMPT.encode()) or [config.SEPARATOR]
    for _ in range(config.SAMPLE_TOKENS):
        logits = next_logits(model, text, device)
        odds = (logits.float().cpu() / config.SAMPLE_TEMPERATURE).softmax(0)
        drawn = int(torch.multinomial(odds, 1, generator=generator))
        if drawn == config.SEPARATOR or drawn > 255:  # the end, or a token that is no byte
            break
        text.append(drawn)
    parallel.reshard(model)
    decoded = bytes(text).decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in decoded)


def corpus_at(path: str, setting: str) -> data.Corpus:
    """The data that a setting names; errors quote the setting. Process 0 looks for everybody, since
    thousands of processes at once would be too many for a file system."""
    found: list[data.Corpus | data.DataError]
    try:
        found = [data.Corpus(path) if dist.get_rank() == 0 else data.DataError()]
    except data.DataError as error:
        found = [data.DataError(f"{setting}: {error}")]
    dist.broadcast_object_list(found, src=0)
    if isinstance(found[0], data.DataError):
        raise found[0]
    return found[0]


def train(args: argparse.Namespace, device: torch.device, profile: ExitStack) -> int:
    """The run, from where it stopped to its last step. Returns the exit code."""
    run, steps = Path(args.run), args.steps
    setting = "train.data.train" if args.data == config.TRAIN_DATA else "--data"
    corpus = corpus_at(args.data, setting)
    validation = corpus_at(config.VALIDATION_DATA, "train.data.validation")
    seen = corpus.fingerprint() if dist.get_rank() == 0 else ""  # one rank opens every file
    meaning = {**config.MEANING, "train.data.train": checkpoint.gather_objects(seen)[0]}
    source = checkpoint.choose_checkpoint(run, args.resume)
    model, optimizer = build(device, fresh=source is None)
    progress = checkpoint.Progress(step=0, position=0, skipped=0, in_a_row=0)
    if source is not None:
        progress = checkpoint.load(source, model, optimizer, meaning, args.accept)
        log.info("resumed from %s: %d of %d steps are done", source, progress.step, steps)
        if progress.step >= steps:
            log.info("nothing is left to do; pass --resume never to start over")
    checkpoint.set_aside(run, source, progress.step)
    saver = checkpoint.Saver(run, meaning)
    metrics = Metrics(run, progress, steps, device)
    window = [step for step in args.profile if step > progress.step]
    count = sum(math.prod(layout.shape) for layout in model.layout.values())
    log.info("%s: %s parameters, %d processes", run.name, f"{count:,}", dist.get_world_size())
    metrics.record_evaluation(evaluate(model, validation, device))
    while progress.step < steps:
        Watchdog.reset()
        if progress.step + 1 in window[:1]:
            profile.enter_context(profile_steps(run, device))
        begun = time.monotonic()
        batches = data.step_batches(corpus, progress.position, device)
        result = train_step(model, optimizer, batches, progress.step)
        result = result._replace(seconds=time.monotonic() - begun)
        progress = checkpoint.Progress(
            step=progress.step + 1,
            position=data.next_position(progress.position),
            skipped=progress.skipped + result.skipped,
            in_a_row=progress.in_a_row + 1 if result.skipped else 0,
        )
        if progress.step in window[-1:]:
            profile.close()
        done = progress.step == steps
        val_loss: float | None = None
        if done or progress.step % config.EVAL_EVERY == 0:
            val_loss = metrics.record_evaluation(evaluate(model, validation, device))
        metrics.record_step(progress, result, val_loss)
        if progress.in_a_row >= config.SKIPS_IN_A_ROW:
            saver.wait()
            log.warning("stopped: in the last %d steps no gradient was finite", progress.in_a_row)
            return NOT_FINITE
        stop = stop_requested(device)
        if done or stop or progress.step % config.CHECKPOINT_EVERY == 0:
            saver.save(model, optimizer, progress)
        if stop and not done:
            saved = saver.wait()
            log.info("stopped by a signal after step %d; start again to go on", progress.step)
            return STOPPED if saved else NOT_SAVED
    metrics.summary()
    log.info("sample:\n%s", textwrap.indent(sample(model, device), "  | "))
    saved = saver.wait()
    log.info("checkpoints, metrics.jsonl and log/ are in %s", run)
    return 0 if saved else NOT_SAVED


SIGNALS: list[int] = []


def stop_requested(device: torch.device) -> bool:
    """Whether any rank was asked to stop; every rank gets the same answer."""
    asked = torch.tensor(len(SIGNALS), device=device)
    dist.all_reduce(asked, dist.ReduceOp.MAX)
    return bool(asked.item())


def own_device() -> torch.device:
    """The CPU, or the accelerator of this process on its machine."""
    if config.DEVICE == "cpu":
        return torch.device("cpu")
    index, present = int(os.environ["LOCAL_RANK"]), torch.accelerator.device_count()
    if index >= present:
        raise ConfigError(f"process {index} finds no {config.DEVICE} device: {present} are here")
    torch.accelerator.set_device_index(index)
    return torch.device(config.DEVICE, index)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train as config.py says.")
    parser.add_argument("--steps", type=int, default=config.STEPS, help="last step (%(default)s)")
    parser.add_argument("--run", default=f"runs/{config.PLAN}", help="its folder (%(default)s)")
    parser.add_argument("--resume", default="auto", help="auto: newest of the run; never; a folder")
    parser.add_argument(
        "--accept", default="", help="settings, by path, that may differ on resuming"
    )
    parser.add_argument("--data", default=config.TRAIN_DATA, help="file or folder to train on")
    parser.add_argument("--profile", default="0:0", help="trace steps FIRST:LAST into the run")
    args = parser.parse_args()
    if not 0 < args.steps <= config.STEPS:
        problem = f"the learning rate is laid out for {config.STEPS} steps"
        raise ConfigError(f"--steps {args.steps}: {problem}")
    first, _, last = args.profile.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) <= args.steps):
        raise ConfigError(f"--profile {args.profile}: write FIRST:LAST, of {args.steps} steps")
    args.profile = range(int(first), int(last) + 1)
    return args


def main() -> int:
    if problem := launch_problem():
        if os.environ.get("RANK", "0") in ("0", "") or not os.environ["RANK"].isdecimal():
            print(f"error: {problem}", file=sys.stderr)
        return WRONG
    listener = Listener()
    try:
        args = parse_arguments()
        open_log(Path(args.run))
        Watchdog(Path(args.run) / "log")
        device = own_device()
        connect(device)
        dist.barrier()  # a process that finds an error leaves only when all are here
        for name in (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT):
            signal.signal(name, lambda number, frame: SIGNALS.append(number))
        Watchdog.reset()
        with ExitStack() as profile:
            code = train(args, device, profile)
        listener.stop()
        dist.destroy_process_group()
        return code
    except (ConfigError, data.DataError) as error:
        log.error("error: %s", error)
        fail(error, WRONG)
    except Exception as error:  # noqa: BLE001 (this process ends in any case)
        log.exception("failed")
        fail(error)


if __name__ == "__main__":
    sys.exit(main())
