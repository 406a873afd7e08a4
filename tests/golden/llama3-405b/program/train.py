"""Train: `python train.py` in each process, under any launcher that sets RANK, LOCAL_RANK,
WORLD_SIZE, MASTER_ADDR and MASTER_PORT; the scripts in `launch/` start all of them. launcher.py
lists the exit codes.
"""

import argparse
import math
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, ScheduleInterleaved1F1B
from torch.distributed.pipelining.schedules import _PipelineSchedule as PipelineSchedule

import checkpoint
import config
import data
import parallel
from failures import Listener, fail
from launcher import NOT_FINITE, NOT_SAVED, STOPPED, WRONG, launch_problem
from metrics import Metrics, StepResult, open_log, profile_steps
from model import Model
from parallel import ACCUMULATE, STAGES, ConfigError, Watchdog, connect, log


def build(device: torch.device, fresh: bool = True) -> tuple[Model, torch.optim.AdamW]:
    """The sharded model and its optimizer; without `fresh`, the weights are yet to be loaded."""
    model = Model()
    if config.COMPILE:
        torch._dynamo.config.recompile_limit += 2 * len(config.PHASES)  # a shape of batches each
        for block in model.layers.values():
            block.compile(fullgraph=True, dynamic=False)
    for stage in model.stages:
        parallel.shard(stage, list(stage.layers))
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
    progress = (t - config.WARMUP) / (config.RUN_STEPS - config.WARMUP)
    return config.MIN_LR + (config.LR - config.MIN_LR) * (1 + math.cos(math.pi * progress)) / 2


def train_step(
    model: Model, optimizer: torch.optim.AdamW, batches: list[data.Batch], step: int
) -> StepResult:
    """One optimizer step over the global batch, of which `batches` is this rank's part."""
    targets = torch.stack([(batch.targets != data.IGNORE).sum() for batch in batches]).sum()
    valid = parallel.all_reduce_data(targets)
    model.valid = valid.clamp(min=1)
    losses = pipeline(model, batches)
    parallel.reduce_gradients(model, model.layout)
    norm = parallel.clip_gradients(model, model.layout).item()
    lr = learning_rate(step)
    skipped = not math.isfinite(norm)  # NaN and Inf survive the sum: every rank sees the same
    if not skipped:
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    optimizer.zero_grad()
    loss = parallel.all_reduce(parallel.all_reduce_data(torch.stack(losses).sum()), "pp").item()
    return StepResult(loss, norm, lr, int(valid), skipped)


def schedule_of(model: Model, batches: list[data.Batch]) -> PipelineSchedule:
    """The order in which this rank's stages run the microbatches of a step. It also tells FSDP
    when to reduce: after a stage's last backward."""
    tokens, device = torch.zeros_like(batches[0].tokens), batches[0].tokens.device
    shape = len(tokens), tokens.shape[1] // config.TP, config.D_MODEL
    x = torch.empty(shape, dtype=parallel.COMPUTE, device=device)
    loss = torch.empty(1, dtype=ACCUMULATE, device=device)
    stages = [
        PipelineStage(
            stage,
            stage.index,
            len(STAGES),
            device,
            input_args=(tokens if stage.first else x.requires_grad_(),),
            output_args=(loss if stage.last else x).requires_grad_(),
            group=parallel.GROUPS["pp"],
        )
        for stage in model.stages
    ]
    return ScheduleInterleaved1F1B(
        list(stages),
        len(batches),
        loss_fn=lambda total, _: total[0] / model.valid,
        scale_grads=False,
    )


def pipeline(model: Model, batches: list[data.Batch]) -> list[Tensor]:
    """Forward and backward of all microbatches through all stages. Losses are those of the last
    stage, zero elsewhere."""
    shape = len(batches), *batches[0].tokens.shape
    if shape != model.shape:  # a phase begins
        model.shape, model.schedule = shape, schedule_of(model, batches)
    whole = data.Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
    sides = {name: part for name, part in whole._asdict().items() if name != "tokens"}
    tokens = (whole.tokens,) if model.stages[0].first else ()
    losses: list[Tensor] = []
    model.schedule.step(*tokens, target=whole.targets, losses=losses, **sides)
    none = torch.zeros_like(model.valid, dtype=ACCUMULATE)
    return [loss.detach() for loss in losses] or [none]


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
    progress = enter_phase(progress)
    metrics = Metrics(run, progress, steps, device)
    window = [step for step in args.profile if step > progress.step]
    held = sum(math.prod(layout.shape) for layout in model.layout.values())
    count = int(parallel.all_reduce(torch.tensor(held, device=device), "pp"))
    log.info("%s: %s parameters, %d processes", run.name, f"{count:,}", dist.get_world_size())
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
        metrics.record_step(progress, result, None)
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
    saved = saver.wait()
    log.info("checkpoints, metrics.jsonl and log/ are in %s", run)
    return 0 if saved else NOT_SAVED


def enter_phase(progress: checkpoint.Progress) -> checkpoint.Progress:
    """The same; its first phase starts with a whole sequence of its own."""
    if progress.step < config.FIRST_STEP:
        raise ConfigError(
            f"phase {config.PHASE} starts after step {config.FIRST_STEP}, and the run is at "
            f"{progress.step}: train the phase before it first, or name its run with --resume"
        )
    seq_len = data.phase_at(progress.position).seq_len
    return progress._replace(position=-(-progress.position // seq_len) * seq_len)


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
        raise ConfigError(f"--steps {args.steps}: phase {config.PHASE} ends at {config.STEPS}")
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
