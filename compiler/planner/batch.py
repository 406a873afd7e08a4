"""The run's arithmetic: steps, sequences of a batch, microbatches, chunks of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.mesh import Mesh
from compiler.planner.context import Context, Refused
from compiler.planner.numbers import divisors
from compiler.problems import (
    Contradiction,
    DoesNotDivide,
    NotYet,
    ScheduleTooLong,
    Undetermined,
    VocabTooSmall,
)
from compiler.schema.train import Constant, Cosine, PhaseSpec, TextData, TokenData, Wsd
from dsl.schema import Auto, Count

LOGITS_BYTES = 64 * 2**20
"""fp32 logits of one chunk of the loss stay below this; a chunk is computed twice, so as few
chunks as that allows."""


@dataclass(frozen=True)
class Run:
    """What a phase trains on, however it is spread; batches in sequences."""

    name: str
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
    train = context.spec.train
    name, phase = _only_phase(context)
    seq_len = phase.seq_len or train.seq_len
    if seq_len is None:
        _missing(context, "how long a sequence is", "no `seq_len`", "seq_len = 8Ki")
    batch = phase.global_batch or train.global_batch
    if batch is None:
        _missing(context, "how large a batch is", "no `global_batch`", "global_batch = 4Mi tokens")
    _check_data(context)
    if seq_len is None or batch is None:
        raise Refused
    context.decide("train.seq_len", seq_len, context.origin("train.seq_len"), "tokens a sequence")
    global_batch = _sequences(context, "train.global_batch", batch, seq_len)
    steps = _steps(context, phase, global_batch * seq_len)
    _check_schedule(context, steps)
    return Run(name, steps, seq_len, global_batch)


def resolve_microbatches(context: Context, mesh: Mesh, run: Run) -> Microbatches:
    """global_batch = dp x microbatch x microbatches, exactly."""
    dp = mesh.axis_size("dp")
    microbatch = _microbatch(context, run.seq_len)
    if run.global_batch % (dp * microbatch):
        _uneven_batch(context, run.global_batch, dp, microbatch)
    count = run.global_batch // (dp * microbatch)
    reason = f"{run.global_batch:,} sequences / (dp {dp} x microbatch {microbatch})"
    context.decide("microbatches", count, "derived", reason)
    return Microbatches(microbatch, count, _loss_chunks(context, mesh, microbatch, run.seq_len))


def _only_phase(context: Context) -> tuple[str, PhaseSpec]:
    phases = context.spec.train.phase.items
    if len(phases) > 1:
        context.problem(
            NotYet(
                span=context.span("train.phase"),
                what="a run of several phases",
                instead=f"{len(phases)} phases: {', '.join(name for name, _ in phases)}",
            )
        )
    return phases[0] if phases else ("main", PhaseSpec())


def _missing(context: Context, what: str, missing: str, example: str) -> None:
    context.problem(
        Undetermined(
            span=context.span("train"),
            block="train",
            what=what,
            missing=missing,
            example=example,
        )
    )


def _sequences(context: Context, path: str, count: Count, seq_len: int) -> int:
    """A count of tokens or sequences, in sequences."""
    if count.word == "sequences":
        context.decide(path, count.value, context.origin(path), "sequences a step")
        return count.value
    if count.value % seq_len:
        below = count.value // seq_len * seq_len
        near = [n for n in (below, below + seq_len) if n > 0]
        field = path.rpartition(".")[2]
        context.problem(
            DoesNotDivide(
                span=context.span(path),
                what=field,
                of="seq_len",
                size=count.value,
                parts=seq_len,
                choices=tuple(f"{field} = {n} tokens" for n in near),
                other_span=context.span("train.seq_len"),
                other=f"{seq_len:,} tokens a sequence",
            )
        )
        raise Refused  # sequences that are not whole would be refused again as microbatches
    sequences = count.value // seq_len
    context.decide(
        path,
        sequences,
        context.origin(path),
        f"{count.value:,} tokens / {seq_len:,} = {sequences:,} sequences",
    )
    return sequences


def _steps(context: Context, phase: PhaseSpec, tokens_per_step: int) -> int:
    train = context.spec.train
    own = phase.steps is not None or phase.tokens is not None
    steps, tokens = (phase.steps, phase.tokens) if own else (train.steps, train.tokens)
    if steps is not None and tokens is not None:
        context.problem(
            Contradiction(
                span=context.span("train.tokens"),
                what="the run's length is said twice",
                why="`tokens` and `steps` both say when it ends",
                other_span=context.span("train.steps"),
                other=f"{steps:,} steps",
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
            f"{tokens:,} tokens / {tokens_per_step:,} a step, rounded up",
        )
        return rounded
    _missing(context, "how long it trains", "neither `steps` nor `tokens`", "tokens = 100G")
    return 1


def _microbatch(context: Context, seq_len: int) -> int:
    count = context.spec.microbatch
    if isinstance(count, Auto):
        context.decide("microbatch", 1, "default", "one sequence a forward")
        return 1
    return _sequences(context, "microbatch", count, seq_len)


def _uneven_batch(context: Context, global_batch: int, dp: int, microbatch: int) -> None:
    parts = dp * microbatch
    below = global_batch // parts * parts
    near = [f"global_batch = {n} sequences" for n in (below, below + parts) if n > 0]
    if global_batch % dp == 0:
        share = global_batch // dp
        best = max(n for n in divisors(share) if n <= microbatch)
        near.insert(0, f"microbatch = {best} sequences")
    context.problem(
        DoesNotDivide(
            span=context.span("train.global_batch"),
            what="global_batch",
            of="dp x microbatch",
            size=global_batch,
            parts=parts,
            choices=tuple(near[:3]),
            other_span=context.span("microbatch"),
            other=f"dp {dp} x microbatch {microbatch} = {parts} sequences at a time",
        )
    )


def _check_schedule(context: Context, steps: int) -> None:
    match context.spec.train.lr_schedule:
        case Wsd(warmup=warmup, decay=decay):
            taken, arithmetic = warmup + decay, f"warmup {warmup:,} + decay {decay:,}"
        case Cosine(warmup=warmup) | Constant(warmup=warmup):
            taken, arithmetic = warmup, f"warmup {warmup:,}"
    if taken > steps:
        context.problem(
            ScheduleTooLong(
                span=context.span("train.lr_schedule.warmup"), arithmetic=arithmetic, steps=steps
            )
        )


def _check_data(context: Context) -> None:
    train, vocab = context.spec.train, context.spec.model.vocab
    match train.data:
        case TextData():
            largest = 255
        case TokenData(separator=separator):
            largest = separator
    if largest >= vocab:
        context.problem(
            VocabTooSmall(span=context.span("train.data"), largest=largest, vocab=vocab)
        )
    if train.eval is None:
        return
    if train.data.validation is None:
        context.problem(
            Undetermined(
                span=context.span("train.data"),
                block="data",
                what="what is read for validation",
                missing="no `validation`",
                example='validation = "data/validation"',
            )
        )
    if train.eval.prompt is not None and not isinstance(train.data, TextData):
        context.problem(
            Contradiction(
                span=context.span("train.eval.prompt"),
                what="a prompt is text, and the data is tokens",
                why="only `data = text { ... }` has a tokenizer",
            )
        )


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
