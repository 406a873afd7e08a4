"""Layer 0 on the twin: graph and rank program, interpreted in this process, give the same step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from backends.interpreter.batch import Batch
from backends.interpreter.law import TOLERANCE, errors
from backends.reference.data import Batch as ReadBatch
from compiler.pipeline import Compiled
from llamac.verify.result import Layer


def lowering(twin: Compiled, weights: Mapping[str, Tensor], reads: Sequence[ReadBatch]) -> Layer:
    """One step of each phase before clipping: loss, norm and every gradient of both."""
    pairs = zip(twin.programs, reads, strict=True)
    steps = [errors(twin.graph, program, weights, _batch(read)) for program, read in pairs]
    worst, name = max((error, name) for found in steps for name, error in found.items())
    detail = f"rank program against graph: worst {worst:.1e} ({name}), bound {TOLERANCE:.0e}"
    if worst <= TOLERANCE:
        return Layer("lowering", "verified", detail)
    origin = twin.graph.origins().get(name)
    return Layer("lowering", "different", f"{detail}, of {origin}" if origin else detail)


def _batch(read: ReadBatch) -> Batch:
    rows, seq = read.tokens.shape
    return Batch(
        tokens=read.tokens,
        targets=torch.where(read.counted, read.targets, -1),
        documents=read.documents,
        positions=torch.arange(seq).expand(rows, seq),
    )
