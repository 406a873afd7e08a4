"""Layer 0 on the twin: graph and rank program, interpreted in this process, give the same step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backends.interpreter import graph as graphs
from backends.interpreter import step as ranks
from backends.interpreter.batch import Batch
from backends.reference.data import Batch as ReadBatch
from compiler.pipeline import Compiled
from llamac.verify.compare import BOUND
from llamac.verify.result import Layer


def lowering(twin: Compiled, weights: Mapping[str, Tensor], read: ReadBatch) -> Layer:
    """One step before clipping: loss, norm and every gradient of both."""
    rows, seq = read.tokens.shape
    batch = Batch(
        tokens=read.tokens,
        targets=torch.where(read.counted, read.targets, -1),
        documents=read.documents,
        positions=torch.arange(seq).expand(rows, seq),
    )
    (program,) = twin.programs
    whole = graphs.step(twin.graph, weights, batch)
    found = ranks.step(program, ranks.shard_parameters(program, weights), batch)
    wanted = ranks.shard_parameters(program, whole.gradients)
    errors = {
        "loss": _error(found.loss, whole.loss.expand_as(found.loss)),
        "grad_norm": _error(found.norm, whole.norm.expand_as(found.norm)),
        **{name: _error(found.gradients[name], gradient) for name, gradient in wanted.items()},
    }
    name = max(errors, key=lambda name: errors[name])
    detail = f"rank program against graph: worst {errors[name]:.1e} ({name}), bound {BOUND:.0e}"
    return Layer("lowering", "verified" if errors[name] <= BOUND else "different", detail)


def _error(found: Tensor, wanted: Tensor) -> float:
    error = ((found - wanted).abs().max() / wanted.abs().max()).item()
    return error if error == error else float("inf")
