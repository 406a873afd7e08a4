"""Save and restore, in safetensors, so that any layout loads what any other saved.

A checkpoint is `checkpoints/step-N/`: shards, which together hold every parameter and both of its
AdamW moments by name; `state.json`, how far the run was and what it learns; and last, SHA256SUMS of
them all. No random generator has a state: what is drawn depends on the seed and the position.
"""

import errno
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import api, hf_storage, state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.tensor import DTensor, Replicate, Shard

from config import CHECKPOINTS_KEPT
from data import LASTING
from failures import PATIENCE
from model import Model
from parallel import GROUPS, MESHES, ConfigError, Layout, Watchdog, local, log

SUMS = "SHA256SUMS"
T = TypeVar("T")


class Progress(NamedTuple):
    """How far a run is; with the tensors, all there is to resume from."""

    step: int  # steps done
    position: int  # tokens read
    skipped: int  # steps whose gradient was not finite
    in_a_row: int  # of them, the last ones without a good one between


def whole(tensor: Tensor, layout: Layout) -> DTensor:
    """This rank's part of a parameter or moment, described as part of the whole: same storage."""
    axes = ("tp", "fsdp")
    cuts = {**layout.cuts, "fsdp": 0}
    placements = [Shard(cuts[axis]) if axis in cuts else Replicate() for axis in axes]
    mesh, shape = MESHES[axes[0]][axes], torch.Size(layout.shape)
    stride = torch.empty(shape, device="meta").stride()
    # Without shape and stride DTensor would guess both from this rank's part, silently wrong.
    return DTensor.from_local(tensor, mesh, placements, run_check=False, shape=shape, stride=stride)


def tensors_of(model: Model, optimizer: torch.optim.AdamW) -> dict[str, DTensor]:
    """Everything to save or load into, by name."""
    tensors: dict[str, DTensor] = {}
    for name, p in model.named_parameters():
        state = optimizer.state[p]
        if not state:  # AdamW fills it at its first step
            state["step"] = torch.zeros((), device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        tensors[name] = whole(local(p), model.layout[name])
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"optimizer.{moment}.{name}"] = whole(local(state[moment]), model.layout[name])
    return tensors


class Pieces(io.FileIO):
    """Syncs each piece to disk before the next. The time of the run's folder shows the progress."""

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[super().write(left[: 2**26]) :]
            os.fdatasync(self.fileno())
            os.utime(Path(self.name).parents[2])
        return len(data)


class Saver:
    """Writes checkpoints while training goes on, one at a time."""

    def __init__(self, run: Path, meaning: Mapping[str, object]) -> None:
        self.run, self.meaning = run, meaning
        # A group of its own, since training goes on in the others; patient, since a disk may be
        # slow; and lazy: no sockets from all to all.
        os.environ.setdefault("TORCH_GLOO_LAZY_INIT", "1")
        group = dist.new_group(timeout=timedelta(days=1), backend="gloo")
        self.group = cast(dist.ProcessGroup, group)
        self.pool = ThreadPoolExecutor(1)
        self.running: Future[bool] | None = None

    def save(self, model: Model, optimizer: torch.optim.AdamW, progress: Progress) -> None:
        """Copy the state to memory, and begin to write the copy."""
        if self.running is not None and not self.running.done():
            log.info("step %d: waiting until the last checkpoint is written", progress.step)
        self.wait()
        staged = self.run / "checkpoints" / f"step-{progress.step}.partial"
        writer = hf_storage.HuggingFaceStorageWriter(path=str(staged), save_distributed=True)
        vars(writer.fs)["create_stream"] = Pieces
        written = state_dict_saver.async_save(
            dict(tensors_of(model, optimizer)), storage_writer=writer, process_group=self.group
        )
        self.running = self.pool.submit(self.finish, written, staged, progress)

    def wait(self) -> bool:
        """Whether the last save, once it is done, has become a checkpoint."""
        seen = 0
        while self.running is not None and not self.running.done():
            if (touched := self.run.stat().st_mtime_ns) != seen:
                seen = touched
                Watchdog.reset()
            wait([self.running], PATIENCE / 8)
        return self.running is None or self.running.result()

    def finish(self, written: object, staged: Path, progress: Progress) -> bool:
        """What all ranks wrote becomes a checkpoint, or nothing of it does. Runs in the thread."""
        rank, sums, problem = dist.get_rank(), dict[str, str](), ""
        shard = staged / f"shard-{rank + 1:05}-model-00001-of-00001.safetensors"
        try:
            cast(Future[object], written).result()
            sums = {shard.name: digest(shard)} if shard.exists() else {}
        except (OSError, api.CheckpointException) as error:
            problem = str(error).splitlines()[-1]  # torch's has the stack of each rank before it
        parts = [(sums, problem)] * dist.get_world_size()
        dist.gather_object((sums, problem), parts if rank == 0 else None, group=self.group)
        try:
            problem = next((said for _, said in parts if said), "")
            if rank == 0 and not problem:
                self.commit(staged, progress, {k: v for part, _ in parts for k, v in part.items()})
        except OSError as error:
            problem = str(error)
        said = [problem]
        dist.broadcast_object_list(said, src=0, group=self.group)
        if said[0]:
            log.warning("checkpoint at step %d was not saved: %s", progress.step, said[0])
            if rank == 0:
                delete(staged, ignore_errors=True)
        return not said[0]

    def commit(self, staged: Path, progress: Progress, sums: dict[str, str]) -> None:
        """Write the sums, then rename, syncing each to disk before the next; delete the oldest."""
        state, listing = staged / "state.json", staged / SUMS
        text = json.dumps({**progress._asdict(), "meaning": self.meaning}, indent=1)
        state.write_text(text + "\n")
        listing.write_text(format_sums({**sums, state.name: digest(state)}))
        if {path.name for path in staged.iterdir()} != sums.keys() | {state.name, SUMS}:
            raise OSError(f"{staged} holds other files than its processes wrote")
        for path in (state, listing, staged, self.run, self.run / "metrics.jsonl"):
            sync(path)
        staged.rename(staged.with_suffix(""))
        sync(staged.parent)
        try:
            for old in checkpoints(self.run)[CHECKPOINTS_KEPT:]:
                delete(old.rename(old.with_suffix(".partial")))
        except OSError as error:
            log.warning("an old checkpoint is not deleted: %s", error)


def gather_objects(mine: T, group: dist.ProcessGroup | None = None) -> list[T]:
    """The objects of every rank, in order."""
    parts = [mine] * dist.get_world_size(group)
    dist.all_gather_object(parts, mine, group=group)
    return parts


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**26):
            Watchdog.reset()
            total.update(piece)
    return total.hexdigest()


def format_sums(sums: Mapping[str, str]) -> str:
    return "".join(f"{value}  {name}\n" for name, value in sorted(sums.items()))


def stable_until(meaning: Mapping[str, object]) -> float:
    """The step up to which the learning rate does not depend on how the run ends."""
    steps, kind = meaning.get("train.steps", 0), meaning["train.lr_schedule"]
    if kind == "constant":
        return math.inf
    if kind == "wsd":
        return cast(int, steps) - cast(int, meaning["train.lr_schedule.decay"])
    return cast(int, meaning["train.lr_schedule.warmup"])


def check_meaning(
    source: Path, step: int, there: Mapping[str, object], here: Mapping[str, object], accepted: str
) -> None:
    """Refuse a checkpoint that was trained with different settings, and report those that may
    differ: what only changes steps to come, and what `accepted` names."""
    rows = [row for row in {**here, **there} if here.get(row) != there.get(row)]
    shown = "".join(f"\n  {row}: {there.get(row)} there, {here.get(row)} here" for row in rows)
    stable = min(stable_until(there), stable_until(here))
    ends = {"train.steps", "train.lr_schedule"}
    ends |= {"train.lr_schedule.decay", "train.lr_schedule.min_lr"}
    allowed = {*accepted.split(","), *(ends if step <= stable else ())}
    refused = [row for row in rows if row not in allowed or not row.startswith("train.")]
    if not refused:
        if rows:
            log.info("%s goes on with other settings:%s", source, shown)
        return
    text = f"{source} was trained with different settings:{shown}\nset them back; "
    if ends.issuperset(refused) and stable > 0:
        text += f"resume from step {stable:.0f} or before, where the learning rate is the same; "
    if all(row.startswith("train.") for row in refused):
        text += f"accept the change with --accept {','.join(refused)}; "
    raise ConfigError(text + "or start over: --resume never, or another --run")


def load(
    source: Path,
    model: Model,
    optimizer: torch.optim.AdamW,
    meaning: Mapping[str, object],
    accepted: str,
) -> Progress:
    """Fill the model and the optimizer; refuse a checkpoint of anything else."""
    state = json.loads((source / "state.json").read_text())
    # Another layout may continue a run.
    check_meaning(
        source, state["step"], state["meaning"], json.loads(json.dumps(meaning)), accepted
    )
    progress = Progress(*(state[name] for name in Progress._fields))
    tensors = tensors_of(model, optimizer)
    reader, planner = hf_storage.HuggingFaceStorageReader(str(source)), DefaultLoadPlanner()
    held = [reader.read_metadata() if dist.get_rank() == 0 else Metadata({})]
    dist.broadcast_object_list(held, src=0)
    reader.read_metadata = lambda: held[0]  # of thousands of ranks, one looks into every shard
    planner.commit_tensor = lambda read_item, tensor: Watchdog.reset()
    stored = cast(dict[str, TensorStorageMetadata], held[0].state_dict_metadata)
    there = {k: f"{m.properties.dtype} {list(m.size)}" for k, m in stored.items()}
    compare(source, there, {k: f"{t.dtype} {list(t.shape)}" for k, t in tensors.items()})
    state_dict_loader.load(dict(tensors), storage_reader=reader, planner=planner)
    for p in model.parameters():
        optimizer.state[p]["step"].fill_(progress.step - progress.skipped)
    return progress


def compare(source: object, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse tensors with other names, types or shapes: the loader would cast and skip silently."""
    parts = gather_objects(here, GROUPS["pp"])  # every stage knows its own tensors only
    here = {name: form for part in parts for name, form in part.items()}
    wrong = sorted(k for k in there.keys() | here if there.get(k) != here.get(k))
    if wrong:
        first = wrong[0]
        raise ConfigError(
            f"{source} does not fit this program: {len(wrong)} tensors differ, the first is "
            f"{first}: {there.get(first, 'absent')} there, {here.get(first, 'absent')} here"
        )


def step_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1


def checkpoints(run: Path) -> list[Path]:
    """Checkpoints of a run, the newest first."""
    found = (run / "checkpoints").glob("step-*")
    return sorted((path for path in found if step_of(path) >= 0), key=step_of, reverse=True)


def problem_of(checkpoint: Path) -> str:
    """Why it cannot be used, as far as this rank sees; ranks deal out the files among them."""
    try:
        text = (checkpoint / SUMS).read_text()
        sums = {name: value for value, name in (line.split("  ") for line in text.splitlines())}
        there = {SUMS, *sums} if dist.get_rank() else {path.name for path in checkpoint.iterdir()}
        if text != format_sums(sums) or there != {SUMS, *sums} or "state.json" not in sums:
            return f"{SUMS} does not list the files that are there"
        for name in {*sorted(sums)[dist.get_rank() :: dist.get_world_size()], "state.json"}:
            if digest(checkpoint / name) != sums[name]:
                return f"{name} is not what was written"
        step = json.loads((checkpoint / "state.json").read_text())["step"]
        return "" if checkpoint.name == f"step-{step}" else f"it is of step {step}"
    except (*LASTING, ValueError) as error:  # a disk that fails may not fail the next start
        return str(error)


def choose_checkpoint(run: Path, resume: str) -> Path | None:
    """What `--resume` names: auto (newest of the run, if any), never, a checkpoint, or a run, of
    which it is the newest that every rank finds whole; those passed over are named."""
    if resume == "never":
        return None
    named = run if resume == "auto" else Path(resume)
    own = [named] if (named / SUMS).is_file() else checkpoints(named)
    found = {path for part in gather_objects(own) for path in part}
    problem = "no checkpoint is there"
    for checkpoint in sorted(found, key=step_of, reverse=True):
        said = gather_objects(problem_of(checkpoint))
        if not any(said):
            return checkpoint
        problem = next(f"{checkpoint}: {why} (rank {rank})" for rank, why in enumerate(said) if why)
        log.warning("passed over %s", problem)
    if found or resume != "auto":
        raise ConfigError(f"--resume {resume}: {problem}; pass --resume never to start over")
    return None


def set_aside(run: Path, source: Path | None, step: int) -> None:
    """Keep what lies beyond the step that a run goes on from in earlier-1, earlier-2, ...: all of
    it where the run starts from elsewhere. What was never finished is deleted."""
    if source is None or source.resolve().parent != (run / "checkpoints").resolve():
        step = 0
    if dist.get_rank() == 0:
        for partial in (run / "checkpoints").glob("*.partial"):
            delete(partial, ignore_errors=True)
        names = (f"earlier-{n}" for n in count(1))
        aside = next(n for n in names if not [*run.glob(n), *run.glob(f"checkpoints/{n}")])
        old = [path for path in checkpoints(run) if step_of(path) > step]
        for path in old if step else [*old, *run.glob("metrics.jsonl")]:
            log.info("%s is kept as %s", path, move(path, run, aside))
    dist.barrier()


def move(path: Path, run: Path, aside: str) -> Path:
    """Put a file or folder of the run into its folder `aside`, or into one of that name beside it
    where `checkpoints` is another file system. Returns its new path."""
    place, beside = run / aside / path.relative_to(run), path.parent / aside / path.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():  # a relative one would name something else from there
        place.symlink_to(path.resolve())
        path.unlink()
        return place
    try:
        return path.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside.parent.mkdir(exist_ok=True)
        return Path(shutil.move(path, beside))  # copies where overlayfs refuses even this


def delete(checkpoint: Path, ignore_errors: bool = False) -> None:
    """Delete a folder. Of a link, only the link: what it names belongs to somebody else."""
    if checkpoint.is_symlink():
        checkpoint.unlink()
    else:
        shutil.rmtree(checkpoint, ignore_errors)
