"""Recomputation that names what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction
from dsl.diagnostics import Problem


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


@dataclass(frozen=True, kw_only=True)
class TooManyPolicies(Contradiction):
    """Each different entry of `by_stage` becomes a class of layers in the program, and a pipeline
    rank of its twin, so a program has only a few.
    """

    slug = "too-many-policies"
    title: ClassVar[str] = "too many different ways to recompute"
    label: ClassVar[str] = "{different} different entries, and a program has at most {most}"

    different: int
    most: int


@dataclass(frozen=True, kw_only=True)
class EntriesAgainstPp(Contradiction):
    """`by_stage` says for every pipeline rank in turn what it recomputes, so it has as many entries
    as there are ranks. Without a pipeline, write the one entry itself.
    """

    slug = "entries-against-pp"
    title: ClassVar[str] = "`by_stage` needs one entry per pipeline rank"

    found: int
    pp: int

    label: ClassVar[str] = "{why}"
    other: ClassVar[str] = "{stages}"

    @property
    def why(self) -> str:
        return f"{self.found} listed, and pp is {self.pp}" if self.pp > 1 else "pp is 1"

    @property
    def stages(self) -> str:
        return f"{self.pp} stages" if self.pp > 1 else "no pipeline"
