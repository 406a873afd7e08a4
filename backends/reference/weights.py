"""Initial weights: a function of (seed, name, block of rows), so every layout starts alike.

A matrix is drawn in its two-dimensional form [rows, columns] (the named dimensions with those of
the output, and those of the input, merged), 16 rows at a time, in float32; norms are ones.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from backends.reference.model import parameter_shapes
from compiler.schema.model import ModelSpec

ROWS_OF_A_BLOCK = 16


def keyed(*parts: object) -> int:
    """63 bits from any key: blake2b of the parts joined by '/', little-endian."""
    text = "/".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") // 2


def initial_weights(model: ModelSpec, seed: int) -> dict[str, Tensor]:
    """Every parameter at step 0, float64, in the shapes of `parameter_shapes`."""
    return {
        name: torch.ones(shape, dtype=torch.float64)
        if len(shape) == 1
        else _drawn(name, shape, model.init.std, seed)
        for name, shape in parameter_shapes(model).items()
    }


def _drawn(name: str, shape: tuple[int, ...], std: float, seed: int) -> Tensor:
    # wo is [d_model | heads, head_dim]; wq, wk, wv are [heads, head_dim | d_model]
    rows = shape[0] if name.endswith(".wo") else math.prod(shape[:-1])
    columns = math.prod(shape) // rows
    blocks: list[Tensor] = []
    for start in range(0, rows, ROWS_OF_A_BLOCK):
        generator = torch.Generator("cpu")
        generator.manual_seed(keyed(seed, name, start // ROWS_OF_A_BLOCK))
        block = torch.empty(min(ROWS_OF_A_BLOCK, rows - start), columns, dtype=torch.float32)
        blocks.append(block.normal_(0, std, generator=generator))
    return torch.cat(blocks).to(torch.float64).reshape(shape)
