"""Names of constants in config.py, as one block's lines use them, and the values they get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from compiler.graph import Dimension

Value: TypeAlias = "int | float | str | bool | tuple[Value, ...]"


class TwoValues(Exception):
    """One name of config.py has two values: a defect of the printer that chose the name."""


@dataclass(frozen=True)
class Constant:
    """One assignment of config.py, and the path of the spec that its value comes from.

    kind      the kind of layer that it belongs to, where a model has several: it ends the name
    note      what the comment says beside the path
    formula   how the value follows from other constants: the comment says that, and no path
    """

    base: str
    value: Value
    path: str
    kind: int | None = None
    note: str = ""
    formula: str = ""

    @property
    def name(self) -> str:
        return self.base if self.kind is None else f"{self.base}_{self.kind}"


@dataclass
class Constants:
    """Constants by name, collected while the text is printed. A name has one value."""

    found: dict[str, Constant] = field(default_factory=dict[str, Constant])

    def set(self, constant: Constant) -> str:
        known = self.found.setdefault(constant.name, constant)
        if known.value != constant.value:
            raise TwoValues(f"{constant.name} is {known.value!r} and {constant.value!r}")
        return constant.name

    def ordered(self, dimensions: Iterable[Dimension]) -> list[Constant]:
        """By the part of the model that they belong to: its sizes, as they are declared, then its
        other numbers; all kinds of layers of each."""
        names = [(_part(dim.path), dim.constant) for dim in dimensions]
        names += [(_part(one.path), one.base) for one in self.found.values()]
        parts = list(dict.fromkeys(part for part, _ in names))
        bases = list(dict.fromkeys(base for _, base in names))
        return sorted(
            self.found.values(),
            key=lambda one: (parts.index(_part(one.path)), bases.index(one.base), one.kind or 0),
        )


def _part(path: str) -> str:
    """`model.layer.attention` of `model.layer.attention.rope.theta`, `model` of `model.vocab`."""
    *entries, _ = path.split(".")
    return ".".join(entries[:3])


@dataclass(frozen=True)
class Names:
    """Constants of one block. Where a model has several kinds of layer, each kind has its own
    `HEADS_0`, `HEADS_1`, ...; `kind` is that number."""

    constants: Constants
    dimensions: tuple[Dimension, ...]
    kind: int | None = None

    def dim(self, name: str) -> str:
        """The constant that holds a dimension's full size."""
        dimension = next(dim for dim in self.dimensions if dim.name == name)
        formula = dimension.formula.upper()
        return self.set(dimension.constant, dimension.size, dimension.path, formula=formula)

    def set(self, name: str, value: Value, path: str, note: str = "", formula: str = "") -> str:
        """A constant of this block's kind of layer, or of the whole model, as its path says."""
        kind = self.kind if path.startswith("model.layer.") else None
        return self.constants.set(Constant(name, value, path, kind, note, formula))
