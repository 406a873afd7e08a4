"""Layer 0 on the twin: graph and rank program, interpreted in this process, give the same step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backends.interpreter.batch import Batch
from backends.interpreter.law import TOLERANCE, errors
from backends.reference.data import Batch as ReadBatch
from compiler.pipeline import Compiled
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
    found = errors(twin.graph, program, weights, batch)
    name = max(found, key=lambda name: found[name])
    detail = f"rank program against graph: worst {found[name]:.1e} ({name}), bound {TOLERANCE:.0e}"
    return Layer("lowering", "verified" if found[name] <= TOLERANCE else "different", detail)
