"""Initial weights: a function of (seed, name, block of rows), so every layout starts alike.

A matrix is drawn in its two-dimensional form [rows, columns] (the named dimensions with those of
the output, and those of the input, merged), 16 rows at a time, in float32. Norms start such that
they multiply by one, biases at zero.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from backends.reference.parameters import Parameter, parameters_of
from compiler.schema.model import ModelSpec

ROWS_OF_A_BLOCK = 16


def keyed(*parts: object) -> int:
    """63 bits from any key: blake2b of the parts joined by '/', little-endian."""
    text = "/".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") // 2


def initial_weights(model: ModelSpec, seed: int) -> dict[str, Tensor]:
    """Every parameter at step 0, float64, by name."""
    return {
        name: _initial(name, parameter, model.init.std, seed)
        for name, parameter in parameters_of(model).items()
    }


def _initial(name: str, parameter: Parameter, std: float, seed: int) -> Tensor:
    match parameter.start:
        case "drawn":
            return _drawn(name, parameter.shape, std, seed)
        case "ones":
            return torch.ones(parameter.shape, dtype=torch.float64)
        case "zeros":
            return torch.zeros(parameter.shape, dtype=torch.float64)


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
