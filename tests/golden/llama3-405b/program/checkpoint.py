"""Save and restore, in safetensors, so that any layout loads what any other saved.

A checkpoint is `checkpoints/step-N/`: `state.json` and one shard file a rank, which together hold
every parameter and both of its AdamW moments under the parameter's name.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor, Replicate, Shard

from config import CHECKPOINTS_KEPT, PP
from model import Model
from parallel import GROUPS, MESHES, ConfigError, Layout, local


class Progress(NamedTuple):
    """How far a run is; with the tensors, all there is to resume from."""

    step: int  # steps done
    position: int  # tokens read
    skipped: int  # steps whose gradient was not finite


def whole(tensor: Tensor, layout: Layout) -> DTensor:
    """The same storage, described as part of the whole parameter."""
    axes = ("tp", "fsdp")
    cuts = {**layout.cuts, "fsdp": 0}
    placements = [Shard(cuts[axis]) if axis in cuts else Replicate() for axis in axes]
    stride = torch.empty(layout.shape, device="meta").stride()
    shape = torch.Size(layout.shape)
    # Without shape and stride DTensor would guess both from this rank's part, silently wrong.
    return DTensor.from_local(
        local(tensor),
        MESHES[axes[0]][axes],
        placements,
        run_check=False,
        shape=shape,
        stride=stride,
    )


def tensors_of(model: Model, optimizer: torch.optim.AdamW) -> dict[str, DTensor]:
    """Everything to save or load into, by name."""
    tensors: dict[str, DTensor] = {}
    for name, p in model.named_parameters():
        state = optimizer.state[p]
        if not state:  # AdamW fills it at its first step
            state["step"] = torch.zeros((), device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        tensors[name] = whole(p, model.layout[name])
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"optimizer.{moment}.{name}"] = whole(state[moment], model.layout[name])
    return tensors


def save(run: Path, model: Model, optimizer: torch.optim.AdamW, progress: Progress) -> None:
    """Write beside the final place, then rename: a checkpoint with its name is complete."""
    final = run / "checkpoints" / f"step-{progress.step}"
    staged = final.with_suffix(".partial")
    if dist.get_rank() == 0:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
    dist.barrier()
    tensors = tensors_of(model, optimizer)
    writer = HuggingFaceStorageWriter(path=str(staged), save_distributed=True)
    state_dict_saver.save(dict(tensors), storage_writer=writer)
    if dist.get_rank() == 0:
        (staged / "state.json").write_text(json.dumps(progress._asdict()) + "\n")
        shutil.rmtree(final, ignore_errors=True)
        staged.rename(final)
        for old in complete(run)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
    dist.barrier()


def load(source: Path, model: Model, optimizer: torch.optim.AdamW) -> Progress:
    """Fill the model and the optimizer; refuse a checkpoint of anything else."""
    progress = Progress(**json.loads((source / "state.json").read_text()))
    tensors = tensors_of(model, optimizer)
    reader = HuggingFaceStorageReader(str(source))
    check(source, reader.read_metadata().state_dict_metadata, tensors)
    state_dict_loader.load(dict(tensors), storage_reader=reader)
    for p in model.parameters():
        optimizer.state[p]["step"].fill_(progress.step - progress.skipped)
    return progress


def check(source: Path, stored: Mapping[str, object], wanted: Mapping[str, DTensor]) -> None:
    """Keys, shapes and dtypes: the loader itself would cast and skip without a word."""
    found = {k: describe(m) for k, m in stored.items() if isinstance(m, TensorStorageMetadata)}
    expected = {k: f"{t.dtype} {list(t.shape)}" for k, t in wanted.items()}
    held: list[dict[str, str]] = [{}] * PP  # every stage knows its own tensors only
    dist.all_gather_object(held, expected, group=GROUPS["pp"])
    expected = {name: text for part in held for name, text in part.items()}
    wrong = sorted(k for k in found.keys() | expected if found.get(k) != expected.get(k))
    if wrong:
        name = wrong[0]
        raise ConfigError(
            f"{source} does not fit this program: {len(wrong)} tensors differ, the first is {name}: "
            f"{found.get(name, 'absent')} there, {expected.get(name, 'absent')} here"
        )


def describe(metadata: TensorStorageMetadata) -> str:
    return f"{metadata.properties.dtype} {list(metadata.size)}"


def complete(run: Path) -> list[Path]:
    """Checkpoints of a run, in the order they were written."""
    states = (run / "checkpoints").glob("step-*/state.json")
    whole = [state for state in states if state.parent.suffix != ".partial"]
    return [state.parent for state in sorted(whole, key=lambda state: state.stat().st_mtime_ns)]


def find(run: Path, resume: str) -> Path | None:
    """What `--resume` names: auto (newest of the run, if any), never, a checkpoint, or a run."""
    if resume == "never":
        return None
    if resume == "auto":
        return next(reversed(complete(run)), None)
    named = Path(resume)
    if (named / "state.json").is_file():
        return named
    if found := complete(named):
        return found[-1]
    raise ConfigError(f"--resume {resume}: no checkpoint is there")


def agreed(run: Path, resume: str) -> Path | None:
    """The same, seen alike by every process."""
    source = find(run, resume)
    seen = [""] * dist.get_world_size()
    dist.all_gather_object(seen, str(source))
    if len(set(seen)) > 1:
        raise ConfigError(f"processes see different checkpoints: {', '.join(sorted(set(seen)))}")
    return source


def set_aside(run: Path) -> None:
    """A run that starts anew keeps what an earlier one left, under another name."""
    if dist.get_rank() == 0:
        for old in (run / "checkpoints", run / "metrics.jsonl"):
            if old.exists():
                earlier = len(list(run.glob(f"{old.stem}-*{old.suffix}")))
                old.rename(old.with_stem(f"{old.stem}-{earlier + 1}"))
    dist.barrier()
