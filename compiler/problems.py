"""Errors of the compiler: what a plan cannot be, each with its arithmetic and the nearest legal
choice. One frozen dataclass an error; its docstring is what `llamac explain SLUG` prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem, Severity
from dsl.source import Span
from dsl.suggest import closest


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
    written: str
    legal: tuple[tuple[int, int], ...]
    cluster_span: Span | None
    phase: str = ""

    @property
    def quotient(self) -> float:
        return self.world / self.ranks

    def secondary(self) -> tuple[Label, ...]:
        if self.cluster_span is None:
            return ()
        size = f"{self.nodes:,} x {self.devices} devices: {self.world:,}"
        return (Label(self.cluster_span, size),)

    def helps(self) -> tuple[str, ...]:
        if not self.legal or (self.phase and self.written == "dp"):
            return (f"`dp = auto` becomes what the other axes leave of {self.world:,} ranks",)
        if self.written == "dp":
            return ("write " + " or ".join(f"`dp = {value}`" for value, _ in self.legal),)
        choices = (f"`{self.written} = {value}` (gives dp = {dp})" for value, dp in self.legal)
        return ("write " + " or ".join(choices),)


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
    choices: tuple[str, ...]
    other_span: Span | None = None
    other: str = ""

    @property
    def quotient(self) -> float:
        return self.size / self.parts

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.other),)

    def helps(self) -> tuple[str, ...]:
        return ("write " + " or ".join(f"`{choice}`" for choice in self.choices),) * bool(
            self.choices
        )


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
    choices: tuple[str, ...]
    model_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.model_span is None:
            return ()
        return (Label(self.model_span, f"{self.kv_heads} key/value heads"),)

    def helps(self) -> tuple[str, ...]:
        return ("write " + " or ".join(f"`{choice}`" for choice in self.choices),) * bool(
            self.choices
        )


@dataclass(frozen=True, kw_only=True)
class MicrobatchesAgainstStages(Problem):
    """A pipeline schedule cannot run this number of microbatches. One-forward-one-backward starts
    with one forward a stage, so it needs as many microbatches as stages; interleaved stages take
    theirs in equal rounds of about pp. GPipe runs any number.
    """

    slug = "microbatches-against-stages"
    title: ClassVar[str] = "the schedule cannot run {microbatches} microbatches on {pp} stages"
    label: ClassVar[str] = "{why}"

    microbatches: int
    pp: int
    why: str
    batches: tuple[int, ...]
    pp_span: Span | None
    fewer: bool

    def secondary(self) -> tuple[Label, ...]:
        return () if self.pp_span is None else (Label(self.pp_span, f"{self.pp} stages"),)

    def helps(self) -> tuple[str, ...]:
        choices = (f"`global_batch = {batch} sequences`" for batch in self.batches)
        larger = "write " + " or ".join(choices)
        return (larger, "`schedule = gpipe` runs any number") if self.fewer else (larger,)


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
    choices: tuple[int, ...]
    cp: int = 1

    @property
    def quotient(self) -> float:
        return self.dp / self.fsdp

    def helps(self) -> tuple[str, ...]:
        return ("write " + " or ".join(f"`fsdp = {value}`" for value in self.choices),)


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
    choices: tuple[str, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.other),)

    def helps(self) -> tuple[str, ...]:
        written = " or ".join(f"`{choice}`" for choice in self.choices)
        return (f"write {written}",) if self.choices else ()


@dataclass(frozen=True, kw_only=True)
class Undetermined(Problem):
    """A value that the run needs is neither written nor derivable from what is.

    A training run needs its length (`steps` or `tokens`, not both), `seq_len` and `global_batch`.
    """

    slug = "undetermined"
    title: ClassVar[str] = "`{block}` does not say {what}"
    label: ClassVar[str] = "{missing}"

    block: str
    what: str
    missing: str
    example: str

    def helps(self) -> tuple[str, ...]:
        return (f"write `{self.example}`",)


@dataclass(frozen=True, kw_only=True)
class VocabTooSmall(Problem):
    """Text is read as bytes, one token a byte, so the model's vocabulary needs all 256 of them;
    a separator must be a token of the vocabulary.
    """

    slug = "vocab-too-small"
    title: ClassVar[str] = "the data has tokens that the model lacks"
    label: ClassVar[str] = "tokens up to {largest}, and the vocabulary has {vocab:,}"

    largest: int
    vocab: int


@dataclass(frozen=True, kw_only=True)
class LongRound(Problem):
    """A mixture takes sequences from its sources in rounds, in which each source has a whole
    number of turns: weights of 0.7 and 0.3 make rounds of 7 + 3. Weights with many digits make
    long rounds, and the program works out one whole round when it starts.
    """

    slug = "long-round"
    title: ClassVar[str] = "the weights of the mixture have no short round"
    label: ClassVar[str] = "{shares} = {length:,} sequences, and {longest:,} are the most"

    shares: str
    length: int
    longest: int

    def helps(self) -> tuple[str, ...]:
        return ("write weights with fewer digits, such as `weight = 0.35`",)


@dataclass(frozen=True, kw_only=True)
class ScheduleTooLong(Problem):
    """Warm-up and decay together take more steps than the run has."""

    slug = "schedule-too-long"
    title: ClassVar[str] = "the learning-rate schedule is longer than the run"
    label: ClassVar[str] = "{arithmetic}, and the run has {steps:,} steps"

    arithmetic: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class NoTimeToTrain(Problem):
    """A job is told to save its checkpoint and leave `checkpoint_budget` before its limit of time,
    and Slurm may be a minute early with that. What is left of `time` is all there is to train.
    """

    slug = "no-time-to-train"
    title: ClassVar[str] = "a job would have to save before it has trained"
    label: ClassVar[str] = (
        "{time:,.0f} s - checkpoint_budget {budget:,.0f} s - {early} s = {left:,.0f} s"
    )

    time: float
    budget: float
    early: int

    @property
    def left(self) -> float:
        return self.time - self.budget - self.early

    def helps(self) -> tuple[str, ...]:
        hours = math.ceil(10 * (self.budget + self.early) / 3600)
        shorter = math.floor(self.time / 2) - self.early
        choices = [f"`time = {hours}h`"]
        if shorter > 0:
            choices.append(f"`checkpoint_budget = {shorter}s`")
        return ("write " + " or ".join(choices),)


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

    def helps(self) -> tuple[str, ...]:
        return (
            f"write a `tp` that divides {self.devices}",
            "write `order = [tp, cp, pp, dp]` if this is meant",
        )


@dataclass(frozen=True, kw_only=True)
class UnreadValidation(Problem):
    """The data name what is to be read for validation, and the `train` block has no `eval` that
    reads it: the run would end without a validation loss.
    """

    slug = "unread-validation"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "nothing reads this `validation`"
    label: ClassVar[str] = "the run has no `eval`"

    def helps(self) -> tuple[str, ...]:
        return ("write `eval = eval { every = 100 steps }`", "leave `validation` out")


@dataclass(frozen=True, kw_only=True)
class UnknownPlan(Problem):
    """A verb that makes a program needs a plan: the file has none, or none of the name given, or
    several and none was named. `check` takes files without a plan, since others may import them.
    """

    slug = "unknown-plan"
    title: ClassVar[str] = "{what}"
    label: ClassVar[str] = "{remark}"

    what: str
    remark: str
    others: tuple[Label, ...] = ()
    asks: str

    def secondary(self) -> tuple[Label, ...]:
        return self.others

    def helps(self) -> tuple[str, ...]:
        return (self.asks,)


@dataclass(frozen=True, kw_only=True)
class UnknownPhase(Problem):
    """`phase NAME { ... }` of a plan says how it spreads a phase of its training run, so the
    `train` block must have a phase of that name.
    """

    slug = "unknown-phase"
    title: ClassVar[str] = "the run has no phase `{phase}`"
    label: ClassVar[str] = "refines a phase that does not exist"

    phase: str
    known: tuple[str, ...]
    train_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        if self.train_span is None or not self.known:
            return ()
        return (Label(self.train_span, f"phases: {', '.join(self.known)}"),)

    def helps(self) -> tuple[str, ...]:
        if not self.known:
            return (f"write `phase {self.phase} {{ ... }}` in the `train` block first",)
        name = closest(self.phase, self.known) or self.known[0]
        return (f"write `phase {name} {{ ... }}`",)


@dataclass(frozen=True, kw_only=True)
class AssertFailed(Problem):
    """A constraint of the plan does not hold for the values that were resolved."""

    slug = "assert-failed"
    title: ClassVar[str] = "`{text}` does not hold"
    label: ClassVar[str] = "{values}"

    text: str
    values: str
    holds: str | None
    explained: tuple[str, ...]

    def helps(self) -> tuple[str, ...]:
        relaxed = () if self.holds is None else (f"`assert {self.holds}` holds",)
        shown = (
            f"`llamac explain FILE {path}` shows where it comes from" for path in self.explained
        )
        return (*relaxed, *shown)


@dataclass(frozen=True, kw_only=True)
class AssertUnknown(Problem):
    """An assert reads a path that is neither a field of the plan nor an estimate."""

    slug = "assert-unknown"
    title: ClassVar[str] = "nothing is called `{path}`"
    label: ClassVar[str] = "{nearest}"

    path: str
    nearest: str


@dataclass(frozen=True, kw_only=True)
class EstimateNotBuilt(Problem):
    """The language reserves this estimate (memory, time, price), but this version does not compute
    it. An assert on it is an error, because it would otherwise pass unseen.
    """

    slug = "estimate-not-built"
    title: ClassVar[str] = "there is no estimate of `{path}` yet"
    label: ClassVar[str] = "this assert cannot be checked"

    path: str

    def helps(self) -> tuple[str, ...]:
        return ("remove the assert, or assert on `parameters`, `dp` or another resolved value",)
