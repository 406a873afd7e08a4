"""Meshes that no cluster or model has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction
from dsl.diagnostics import Label, Problem, Severity
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
    cluster_span: Span | None

    @property
    def quotient(self) -> float:
        return self.world / self.ranks

    def secondary(self) -> tuple[Label, ...]:
        if self.cluster_span is None:
            return ()
        size = f"{self.nodes:,} x {self.devices} devices: {self.world:,}"
        return (Label(self.cluster_span, size),)


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
    other_span: Span | None = None
    other: str = ""

    @property
    def quotient(self) -> float:
        return self.size / self.parts

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.other),)


@dataclass(frozen=True, kw_only=True)
class KvHeadsAgainstTp(Problem):
    """Tensor parallelism either gives each rank whole key/value heads (tp divides kv_heads), or
    holds copies of one head on several ranks (kv_heads divides tp). Between the two, a rank would
    need parts of several heads.
    """

    slug = "kv-heads-against-tp"
    title: ClassVar[str] = "{kv_heads} key/value heads cannot be divided over tp = {tp}"
    label: ClassVar[str] = "{tp} does not divide {kv_heads}, and {kv_heads} does not divide {tp}"

    tp: int
    kv_heads: int
    model_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.model_span is None:
            return ()
        return (Label(self.model_span, f"{self.kv_heads} key/value heads"),)


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
    cp: int = 1

    @property
    def quotient(self) -> float:
        return self.dp / self.fsdp


@dataclass(frozen=True, kw_only=True)
class TpAcrossNodes(Problem):
    """Tensor parallelism exchanges activations four times per layer, so it belongs inside a node.
    This plan's tp is larger than a node, or does not divide it, so groups straddle nodes.
    """

    slug = "tp-across-nodes"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "tensor-parallel groups straddle nodes"
    label: ClassVar[str] = "tp = {tp}, and a node has {devices} devices"

    tp: int
    devices: int


@dataclass(frozen=True, kw_only=True)
class AxisNotOrdered(Contradiction):
    """`order` lists every axis of more than one rank once, innermost first: the ranks of the first
    axis are neighbours. The order decides which traffic stays inside a node, so nothing is added
    to a written one.
    """

    slug = "axis-not-ordered"
    title: ClassVar[str] = "`order` lacks `{axis}`"
    label: ClassVar[str] = "every axis with more than one rank must be listed, innermost first"

    axis: str


@dataclass(frozen=True, kw_only=True)
class CopiesAcrossContext(Contradiction):
    """`fsdp` ranks share one copy of the state: all of `cp`, and a part of `dp`. They must count
    faster than the copies, so `dp` must come after `cp` in `order` when there are several copies.
    """

    slug = "copies-across-context"
    title: ClassVar[str] = "`order` puts `dp` inside `cp`, but the copies of `fsdp` span both"
    label: ClassVar[str] = "fsdp {fsdp} = {cp} cp x {shard} of dp must count faster than its copies"
    other: ClassVar[str] = "{copies} copies"

    cp: int
    shard: int
    copies: int

    @property
    def fsdp(self) -> int:
        return self.cp * self.shard


@dataclass(frozen=True, kw_only=True)
class ReplicatedAndCut(Contradiction):
    """`sharding = none` keeps all state on every rank, and `fsdp` above 1 cuts it over that many
    ranks. Either cut it (`zero1`, `zero2`, `zero3`) or leave `fsdp` out.
    """

    slug = "replicated-and-cut"
    title: ClassVar[str] = "`sharding = none` replicates, but `fsdp` above 1 cuts"
    label: ClassVar[str] = "{fsdp} ranks would share one copy"
    other: ClassVar[str] = "replicated"

    fsdp: int
