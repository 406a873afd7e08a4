"""Names of constants in config.py, as one block's lines use them, and the values they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = "int | float | str | bool | tuple[Value, ...]"

SHARED_DIMS: Mapping[str, str] = {"vocab": "VOCAB", "d_model": "D_MODEL", "seq": "SEQ_LEN"}
BLOCK_DIMS: Mapping[str, str] = {
    "heads": "HEADS",
    "kv_heads": "KV_HEADS",
    "head_dim": "HEAD_DIM",
    "d_ff": "D_FF",
}


class TwoValues(Exception):
    """A name of config.py was given two values: a defect of the printer that chose the name."""


@dataclass
class Constants:
    """Values by name, collected while the text is printed. A name has one value."""

    values: dict[str, Value] = field(default_factory=dict[str, Value])

    def set(self, name: str, value: Value) -> str:
        if self.values.setdefault(name, value) != value:
            raise TwoValues(f"{name} is {self.values[name]!r} and {value!r}")
        return name


@dataclass(frozen=True)
class Names:
    """Constants of one block. Where a model has several kinds of layer, each kind has its own
    `HEADS_0`, `HEADS_1`, ...; `suffix` is that ending."""

    constants: Constants
    sizes: Mapping[str, int]
    suffix: str = ""

    def dim(self, dim: str) -> str:
        """The constant that holds a dimension's full size."""
        name = SHARED_DIMS[dim] if dim in SHARED_DIMS else BLOCK_DIMS[dim] + self.suffix
        return self.constants.set(name, self.sizes[dim])

    def own(self, name: str, value: Value) -> str:
        """A constant of this block's kind."""
        return self.constants.set(name + self.suffix, value)

    def shared(self, name: str, value: Value) -> str:
        """A constant of the whole model."""
        return self.constants.set(name, value)
