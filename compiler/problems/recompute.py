"""Recomputation that names what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem, Suggestion


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
    choices: tuple[Suggestion, ...]

    @property
    def names(self) -> str:
        return ", ".join(self.known)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices
