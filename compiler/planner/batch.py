"""The run's arithmetic: steps, sequences of a batch, microbatches, chunks of the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

from compiler.mesh import Mesh
from compiler.plan import Decision, PhasePlan
from compiler.planner.choices import TRIES, Rows, as_suggestion, offer
from compiler.planner.context import Context, Refused
from compiler.planner.data import check_data
from compiler.planner.numbers import divisors, nearest_first
from compiler.problems.mesh import DoesNotDivide
from compiler.problems.run import LengthGivenTwice, ScheduleTooLong, Undetermined
from compiler.schema.train import Constant, Cosine, Wsd
from dsl.schema import Auto, Count

LENGTHS = (8192, 2048)
"""Sequence lengths to suggest where none is written."""
WARMUP_PART = 10
"""A warm-up longer than the run is cut to this part of the run."""
LOGITS_BYTES = 64 * 2**20
"""fp32 logits of one chunk of the loss stay below this; a chunk is computed twice, so as few
chunks as that allows."""


@dataclass(frozen=True)
class Run:
    """What a phase trains on, in any layout; batches in sequences."""

    steps: int
    seq_len: int
    global_batch: int


@dataclass(frozen=True)
class Microbatches:
    """A rank's share of a step."""

    microbatch: int
    count: int
    loss_chunks: int


def resolve_run(context: Context) -> Run:
    """seq_len, global_batch and steps: written, or derived from one another."""
    seq_len, batch = context.spec.train.seq_len, context.spec.train.global_batch
    if seq_len is None:
        lengths = ({"train.seq_len": length} for length in LENGTHS)
        _missing(context, "how long a sequence is", "no `seq_len`", *lengths)
    if batch is None:
        world = context.spec.cluster.nodes * context.spec.cluster.node.devices
        batches = (Count(4 * 2**20, "tokens"), Count(4 * world, "sequences"))
        rows = ({"train.global_batch": count} for count in batches)
        _missing(context, "how large a batch is", "no `global_batch`", *rows)
    check_data(context)
    if seq_len is None or batch is None:
        raise Refused
    context.decide("train.seq_len", seq_len, context.origin("train.seq_len"), "tokens per sequence")
    global_batch = _sequences(context, batch, seq_len)
    return Run(_steps(context, global_batch * seq_len), seq_len, global_batch)


def resolve_microbatches(context: Context, mesh: Mesh, run: Run) -> Microbatches:
    """global_batch = dp x microbatch x microbatches, exactly."""
    dp = mesh.axis_size("dp")
    microbatch = _microbatch(context)
    if run.global_batch % (dp * microbatch):
        _uneven_batch(context, run.global_batch, dp, microbatch)
        raise Refused
    count = run.global_batch // (dp * microbatch)
    reason = f"{run.global_batch:,} sequences / (dp {dp} x microbatch {microbatch})"
    context.decide("microbatches", count, "derived", reason)
    return Microbatches(microbatch, count, _loss_chunks(context, mesh, microbatch, run.seq_len))


def _missing(context: Context, what: str, missing: str, *examples: Rows) -> None:
    context.problem(
        Undetermined(
            span=context.span("train"),
            block="train",
            what=what,
            missing=missing,
            choices=offer(context, *examples)[:1],
        )
    )


def _sequences(context: Context, batch: Count, seq_len: int) -> int:
    """The batch in sequences, written in tokens or sequences."""
    path = "train.global_batch"
    if batch.word == "sequences":
        context.decide(path, batch.value, context.origin(path), "sequences per step")
        return batch.value
    if batch.value % seq_len:
        cluster = context.spec.cluster
        whole = seq_len * cluster.nodes * cluster.node.devices  # any mesh divides these
        few = TRIES // 2
        multiples = (_nearest_multiples(batch.value, unit)[:few] for unit in (seq_len, whole))
        near = nearest_first(batch.value, chain(*multiples))
        context.problem(
            DoesNotDivide(
                span=context.span(path),
                what="global_batch",
                of="seq_len",
                size=batch.value,
                parts=seq_len,
                choices=offer(context, *({path: Count(n, "tokens")} for n in near)),
                other_span=context.span("train.seq_len"),
                other=f"{seq_len:,} tokens per sequence",
            )
        )
        raise Refused  # sequences that are not whole would be refused again as microbatches
    sequences = batch.value // seq_len
    context.decide(
        path,
        sequences,
        context.origin(path),
        f"{batch.value:,} tokens / {seq_len:,} = {sequences:,} sequences",
    )
    return sequences


def _nearest_multiples(number: int, unit: int) -> list[int]:
    """Multiples of `unit`, those nearest to `number` first."""
    below = number // unit
    around = range(max(1, below - TRIES // 2), below + TRIES // 2)
    return nearest_first(number, (n * unit for n in around))


def _steps(context: Context, tokens_per_step: int) -> int:
    steps, tokens = context.spec.train.steps, context.spec.train.tokens
    if steps is not None and tokens is not None:
        context.problem(
            LengthGivenTwice(
                span=context.span("train.tokens"),
                steps=steps,
                other_span=context.span("train.steps"),
                choices=offer(context, {"train.tokens": None}, {"train.steps": None}),
            )
        )
        return steps
    if steps is not None:
        context.decide("train.steps", steps, context.origin("train.steps"), "optimizer steps")
        return steps
    if tokens is not None:
        rounded = -(-tokens // tokens_per_step)
        context.decide(
            "train.steps",
            rounded,
            "derived",
            f"{tokens:,} tokens / {tokens_per_step:,} per step, rounded up",
        )
        return rounded
    length = {"train.tokens": 100 * 10**9}
    _missing(context, "how long it trains", "neither `steps` nor `tokens`", length)
    return 1


def _microbatch(context: Context) -> int:
    written = context.spec.microbatch
    microbatch = 1 if isinstance(written, Auto) else written
    context.decide("microbatch", microbatch, context.origin("microbatch"), "sequences per forward")
    return microbatch


def _uneven_batch(context: Context, global_batch: int, dp: int, microbatch: int) -> None:
    parts = dp * microbatch
    near: list[Rows] = [
        {"train.global_batch": Count(n, "sequences")}
        for n in _nearest_multiples(global_batch, parts)
    ]
    if global_batch % dp == 0:
        share = global_batch // dp
        best = max(n for n in divisors(share) if n <= microbatch)
        near.insert(0, {"microbatch": best})
    context.problem(
        DoesNotDivide(
            span=context.span("train.global_batch"),
            what="global_batch",
            of="dp x microbatch",
            size=global_batch,
            parts=parts,
            choices=offer(context, *near),
            other_span=context.span("microbatch"),
            other=f"dp {dp} x microbatch {microbatch} = {parts} sequences at a time",
        )
    )


def check_schedule(context: Context, steps: int) -> None:
    """The learning rate is laid out over the steps of all phases together."""
    match context.spec.train.lr_schedule:
        case Wsd(warmup=warmup, decay=decay):
            taken, arithmetic = warmup + decay, f"warmup {warmup:,} + decay {decay:,}"
        case Cosine(warmup=warmup) | Constant(warmup=warmup):
            taken, arithmetic = warmup, f"warmup {warmup:,}"
    if taken > steps:
        context.problem(
            ScheduleTooLong(
                span=context.span("train.lr_schedule.warmup"),
                arithmetic=arithmetic,
                steps=steps,
                choices=(as_suggestion(context, _shorter(context.spec.train.lr_schedule, steps)),),
            )
        )


def _shorter(schedule: Cosine | Wsd | Constant, steps: int) -> Rows:
    """Rows of a schedule that fits: the decay takes what the warm-up leaves, or both shrink."""
    warmup = min(schedule.warmup, steps // WARMUP_PART)
    match schedule:
        case Wsd(warmup=written) if written < steps:
            return {"train.lr_schedule.decay": steps - written}
        case Wsd(decay=decay):
            rest = min(decay, steps - warmup)
            return {"train.lr_schedule.warmup": warmup, "train.lr_schedule.decay": rest}
        case Cosine() | Constant():
            return {"train.lr_schedule.warmup": warmup}


def _loss_chunks(context: Context, mesh: Mesh, microbatch: int, seq_len: int) -> int:
    vocab = context.spec.model.vocab // mesh.axis_size("tp")
    seq_len //= mesh.axis_size("cp")
    rows = max(1, LOGITS_BYTES // (4 * vocab * microbatch))
    chunks = next((n for n in divisors(seq_len) if seq_len // n <= rows), seq_len)
    context.decide(
        "loss_chunks",
        chunks,
        "chosen",
        f"fp32 logits of {microbatch} x {seq_len // chunks} x {vocab:,} stay below 64 MiB",
    )
    return chunks


def one_loss_chunk(phases: tuple[PhasePlan, ...]) -> tuple[PhasePlan, ...]:
    """The phases of one program with chunks of one size, a constant of its text: the largest that
    no phase has less room for, and that cuts the sequences of each evenly or holds them whole."""
    lengths = {phase: phase.loss_chunk * phase.loss_chunks for phase in phases}
    chunk = next(
        size
        for size in range(max(phase.loss_chunk for phase in phases), 0, -1)
        if all(
            min(size, length) <= phase.loss_chunk and length % min(size, length) == 0
            for phase, length in lengths.items()
        )
    )
    return tuple(
        _in_chunks(phase, length // min(chunk, length)) for phase, length in lengths.items()
    )


def _in_chunks(phase: PhasePlan, chunks: int) -> PhasePlan:
    if chunks == phase.loss_chunks:
        return phase

    def changed(decision: Decision) -> Decision:
        if decision.path != "loss_chunks":
            return decision
        reason = f"{decision.reason}; more, so that all phases of the program have equal ones"
        return replace(decision, value=chunks, reason=reason)

    decisions = tuple(map(changed, phase.decisions))
    return replace(phase, loss_chunks=chunks, decisions=decisions)
