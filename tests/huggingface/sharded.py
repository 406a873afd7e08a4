"""Weights of `transformers` models as a checkpoint that many ranks saved, made by hand."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from tests.models.families import Case


def oracle_of(case: Case) -> PreTrainedModel:
    """Random, norms too, in float32."""
    torch.manual_seed(3)
    model = case.oracle(case.config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def ours(case: Case, oracle: PreTrainedModel, names: Mapping[str, object]) -> dict[str, Tensor]:
    """The oracle's weights under our names, by the table of tests/models."""
    weights = dict(oracle.named_parameters())
    return {name: weights[case.name(name)].detach().clone() for name in names}


def write_checkpoint(
    folder: Path, weights: Mapping[str, Tensor], tp: int, fsdp: int, columns: frozenset[str]
) -> Path:
    """As tp x fsdp ranks would save it: rows dealt out, uneven and empty shares too; matrices whose
    name ends in one of `columns` are cut along their columns by tp. With an optimizer's state."""
    folder.mkdir(parents=True)
    for rank in range(tp * fsdp):
        held: dict[str, Tensor] = {}
        offsets: dict[str, object] = {}
        for name, whole in weights.items():
            found = share(whole, divmod(rank, fsdp), tp, fsdp, name.endswith(tuple(columns)))
            if found is not None:
                held[name], start = found
                offsets[name] = {"saved_offsets": start}
        moments = {f"optimizer.exp_avg.{name}": value for name, value in held.items()}
        offsets |= {f"optimizer.exp_avg.{name}": offsets[name] for name in held}
        metadata = {"format": "pt", "DCP_VERSION": "1.0", "DCP_SHARDING_INFO": json.dumps(offsets)}
        file = folder / f"shard-{rank + 1:05}-model-00001-of-00001.safetensors"
        save_file(held | {k: v.clone() for k, v in moments.items()}, file, metadata)
    (folder / "state.json").write_text('{"step": 4, "position": 8, "skipped": 0}\n')
    write_sums(folder)
    return folder


def write_sums(folder: Path) -> None:
    """SHA256SUMS of what lies there."""
    listing = folder / "SHA256SUMS"
    listing.unlink(missing_ok=True)
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    listing.write_text("".join(sums))


def share(
    whole: Tensor, place: tuple[int, int], tp: int, fsdp: int, by_column: bool
) -> tuple[Tensor, list[int]] | None:
    """What one rank holds and where it begins; None where it holds nothing, or a copy."""
    tensor_rank, data_rank = place
    row, column, part = 0, 0, whole
    if whole.ndim == 1:
        if tensor_rank:
            return None
    elif by_column:
        column = tensor_rank * (whole.shape[1] // tp)
        part = whole[:, column : column + whole.shape[1] // tp]
    else:
        row = tensor_rank * math.ceil(whole.shape[0] / tp)
        part = whole[row : row + math.ceil(whole.shape[0] / tp)]
    height = math.ceil(part.shape[0] / fsdp)
    first = data_rank * height
    part = part[first : first + height].contiguous()
    start = [row + first, column][: whole.ndim]
    return (part, start) if part.numel() else None
