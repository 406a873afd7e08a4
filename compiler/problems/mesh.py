"""Meshes that no cluster or model has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem, Severity, Suggestion
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class MeshMismatch(Problem):
    """The parallel axes multiply to a number of ranks that the cluster does not have.

    Every accelerator belongs to exactly one point of the mesh, so tp * cp * pp * dp must equal
    nodes x devices. Leave `dp = auto` and it becomes what is left, provided the others divide it.
    """

    slug = "mesh-mismatch"
    title: ClassVar[str] = "the mesh does not tile the cluster"
    label: ClassVar[str] = "{product}, and {world:,} / {ranks:,} = {quotient:.4g}"

    product: str
    ranks: int
    world: int
    nodes: int
    devices: int
    choices: tuple[Suggestion, ...]
    cluster_span: Span | None

    @property
    def quotient(self) -> float:
        return self.world / self.ranks

    def secondary(self) -> tuple[Label, ...]:
        if self.cluster_span is None:
            return ()
        size = f"{self.nodes:,} x {self.devices} devices: {self.world:,}"
        return (Label(self.cluster_span, size),)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class DoesNotDivide(Problem):
    """A dimension of the model or the batch is cut into parts that are not whole.

    Tensor parallelism cuts heads, d_ff, vocab and seq_len into tp equal parts, so tp must divide
    each of them; the batch is cut over dp ranks and microbatches. The help names the nearest
    values that divide.
    """

    slug = "does-not-divide"
    title: ClassVar[str] = "`{what}` is not a multiple of {of}"
    label: ClassVar[str] = "{size:,} / {parts:,} = {quotient:.4g}"

    what: str
    of: str
    size: int
    parts: int
    choices: tuple[Suggestion, ...]
    other_span: Span | None = None
    other: str = ""

    @property
    def quotient(self) -> float:
        return self.size / self.parts

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.other),)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class KvHeadsAgainstTp(Problem):
    """Tensor parallelism either gives each rank whole key/value heads (tp divides kv_heads), or
    holds copies of one head on several ranks (kv_heads divides tp). Between the two, a rank would
    need parts of several heads.
    """

    slug = "kv-heads-against-tp"
    title: ClassVar[str] = "{kv_heads} key/value heads cannot be spread over tp = {tp}"
    label: ClassVar[str] = "{tp} does not divide {kv_heads}, and {kv_heads} does not divide {tp}"

    tp: int
    kv_heads: int
    choices: tuple[Suggestion, ...]
    model_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.model_span is None:
            return ()
        return (Label(self.model_span, f"{self.kv_heads} key/value heads"),)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class FsdpAgainstDp(Problem):
    """`fsdp` ranks of dp x cp share one copy of parameters, gradients and optimizer state; the
    copies are replicated dp x cp / fsdp times, so fsdp must divide dp x cp. Ranks of one context
    group share a copy, so fsdp is 1 or a multiple of cp.
    """

    slug = "fsdp-against-dp"
    title: ClassVar[str] = "`fsdp` does not divide the data-parallel ranks"
    label: ClassVar[str] = "dp x cp = {dp}, {cp} of them cp; {dp} / {fsdp} = {quotient:.4g}"

    fsdp: int
    dp: int
    choices: tuple[Suggestion, ...]
    cp: int = 1

    @property
    def quotient(self) -> float:
        return self.dp / self.fsdp

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class TpAcrossNodes(Problem):
    """Tensor parallelism exchanges activations four times a layer, so it belongs inside a node.
    This plan's tp is larger than a node, or does not divide it, so groups straddle nodes.
    """

    slug = "tp-across-nodes"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "tensor-parallel groups straddle nodes"
    label: ClassVar[str] = "tp = {tp}, and a node has {devices} devices"

    tp: int
    devices: int
    choices: tuple[Suggestion, ...]

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class Contradiction(Problem):
    """Two written values exclude each other."""

    slug = "contradiction"
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "{why}"

    what: str
    why: str
    other_span: Span | None = None
    other: str = ""
    choices: tuple[Suggestion, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.other),)

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class NotYet(Problem):
    """The language knows this, but this version cannot lower it, so it is refused rather than
    ignored.
    """

    slug = "not-lowered"
    title: ClassVar[str] = "{what} is not built yet"
    label: ClassVar[str] = "{instead}"

    what: str
    instead: str
    choices: tuple[Suggestion, ...] = ()

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices
