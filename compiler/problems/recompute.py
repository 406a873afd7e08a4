"""Recomputation that names what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem
from dsl.suggest import closest


@dataclass(frozen=True, kw_only=True)
class UnknownOperator(Problem):
    """`recompute` lists operators of the model's layers by name, such as `swiglu` and `rms_norm`:
    the backward computes their outputs again instead of keeping them. `none` keeps all that it
    reads, `full` keeps only what goes into a layer.
    """

    slug = "unknown-operator"
    title: ClassVar[str] = "the layers have no operator `{operator}`"
    label: ClassVar[str] = "they have {names}"

    operator: str
    known: tuple[str, ...]

    @property
    def names(self) -> str:
        return ", ".join(self.known)

    def helps(self) -> tuple[str, ...]:
        name = closest(self.operator, self.known)
        return () if name is None else (f"did you mean `{name}`?",)
