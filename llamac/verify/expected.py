"""What the reference says of a twin: every number that its program must show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from backends.reference.data import (
    TEXT_SEPARATOR,
    Batch,
    Corpus,
    batch,
    evaluation_batch,
    read_corpus,
    shuffled,
)
from backends.reference.parameters import parameters_of
from backends.reference.sampling import Sampling, next_logits, repeated, sample
from backends.reference.training import Step, learning_rate, train
from backends.reference.weights import initial_weights
from compiler.planner.phases import phases_of
from compiler.schema.plan import PlanSpec
from compiler.twin.training import UNREACHED
from dsl.schema import Auto
from llamac.verify.corpus import Reading, block_of, steps_of
from llamac.verify.observe import ORDERED

SAMPLE_TOKENS = 3
SAMPLE_TEMPERATURE = 0.6
"""Of a twin: the prompt is one token short of a sequence, and the sample outgrows it by one."""

FORCED = (TEXT_SEPARATOR, 1, ord("x"), 255, 256)
"""The end of a document, what a terminal would obey, a letter, a broken byte, and no byte."""


@dataclass(frozen=True)
class Run:
    """Everything that a twin shows.

    initial    weights at step 0
    steps      those that are run
    positions  tokens of the run that come before each step, and those before the next
    rates      learning rate of every step of the schedule, run or not
    orders     by number of blocks, where each block of the second epoch is read
    logits     [vocab] after each of `prefixes`, and of each token of the sample
    sample     the text; None where the program prints none
    endings    the text in which every draw is one token, for each of `FORCED`
    """

    initial: dict[str, Tensor]
    steps: tuple[Step, ...]
    positions: tuple[int, ...]
    rates: tuple[float, ...]
    orders: dict[int, list[int]]
    logits: tuple[Tensor, ...]
    sample: str | None
    endings: tuple[str, ...]


def expected_run(twin: PlanSpec, folder: Path, validation: Path) -> Run:
    """What the reference does with the corpus in `folder`, that in `validation`, and the same
    weights."""
    readings = readings_of(twin)
    total = total_steps(readings)
    corpus, block = read_corpus(twin.train, folder), block_of(readings)
    reads = list(steps_of(readings))
    batches = tuple(_batch(corpus, reading, position, block) for reading, position in reads)
    seq_len = readings[-1].seq_len
    evaluation = None
    if twin.train.eval is not None:
        evaluated = read_corpus(twin.train, validation)
        evaluation = evaluation_batch(evaluated, seq_len, twin.train.eval.sequences)
    steps = train(twin.model, twin.train, total, start_weights(twin), batches, evaluation)
    peak, schedule = twin.train.optimizer.lr, twin.train.lr_schedule
    last, position = reads[-1]
    how = sampling_of(twin, seq_len)
    text, logits = _sampled(twin, steps[-1].after.parameters, seq_len)
    initial = initial_weights(twin.model, twin.train.seed)
    return Run(
        initial=initial if twin.train.init_from is None else start_weights(twin),
        steps=steps,
        positions=(*(at for _, at in reads), position + last.global_batch * seq_len),
        rates=tuple(learning_rate(schedule, peak, total, t) for t in range(1, total + 1)),
        orders={n: [shuffled(i, n, twin.train.seed, 1) for i in range(n)] for n in ORDERED},
        logits=logits,
        sample=text,
        endings=() if how is None else tuple(repeated(how, token) for token in forced_of(twin)),
    )


def _sampled(
    twin: PlanSpec, parameters: dict[str, Tensor], seq_len: int
) -> tuple[str | None, tuple[Tensor, ...]]:
    how = sampling_of(twin, seq_len)
    if how is None:
        return None, ()
    probed = tuple(
        next_logits(twin.model, parameters, prefix, seq_len) for prefix in prefixes_of(twin)
    )
    text, scores = sample(twin.model, parameters, how)
    return text, (*probed, *scores)


def sampling_of(twin: PlanSpec, seq_len: int) -> Sampling | None:
    if twin.train.eval is None or twin.train.eval.prompt is None:
        return None
    return Sampling(
        prompt=twin.train.eval.prompt,
        tokens=SAMPLE_TOKENS,
        temperature=SAMPLE_TEMPERATURE,
        seq_len=seq_len,
        seed=twin.train.seed,
        end=TEXT_SEPARATOR,
    )


def prefixes_of(twin: PlanSpec) -> tuple[tuple[int, ...], ...]:
    """Beginnings of the prompt that end in every part of a sequence that one rank may hold, so that
    the rank which has the last token differs. Empty where the program draws no sample."""
    seq_len = readings_of(twin)[-1].seq_len
    how = sampling_of(twin, seq_len)
    if how is None:
        return ()
    prompt, parts = how.prompt.encode(), 2 * twin.cp
    return tuple((*prompt[: 1 + part * seq_len // parts],) for part in range(parts))


def forced_of(twin: PlanSpec) -> tuple[int, ...]:
    """Tokens that a sample is made to draw: none where the program draws no sample."""
    return FORCED if prefixes_of(twin) else ()


def readings_of(twin: PlanSpec) -> tuple[Reading, ...]:
    """The batches of a twin, phase by phase; the last steps of the last phase are not reached."""
    readings = [_reading(phase.spec) for phase in phases_of(twin)]
    last = readings.pop()
    return (*readings, replace(last, steps=last.steps - UNREACHED))


def _reading(twin: PlanSpec) -> Reading:
    """Of one phase; everything in it is written, nothing is auto."""
    dp, microbatch = twin.dp, twin.microbatch
    batch_size, seq_len = twin.train.global_batch, twin.train.seq_len
    steps = twin.train.steps
    if isinstance(dp, Auto) or isinstance(microbatch, Auto):
        raise ValueError("a twin leaves nothing to choose")
    if batch_size is None or seq_len is None or steps is None:
        raise ValueError("a twin leaves nothing to choose")
    sequences = batch_size.value // seq_len if batch_size.word == "tokens" else batch_size.value
    return Reading(
        seq_len=seq_len,
        vocab=twin.model.vocab,
        tp=twin.tp,
        seed=twin.train.seed,
        dp=dp,
        microbatch=microbatch,
        microbatches=sequences // (dp * microbatch),
        steps=steps,
    )


def first_batches(twin: PlanSpec, folder: Path) -> tuple[Batch, ...]:
    """Of the first step of every phase, from the corpus in `folder`."""
    corpus = read_corpus(twin.train, folder)
    readings = readings_of(twin)
    starts = dict(reversed(list(steps_of(readings))))
    block = block_of(readings)
    return tuple(_batch(corpus, reading, starts[reading], block) for reading in readings)


def _batch(corpus: Corpus, reading: Reading, position: int, block: int) -> Batch:
    return batch(corpus, reading.seed, reading.seq_len, reading.global_batch, position, block)


def start_weights(twin: PlanSpec) -> dict[str, Tensor]:
    """The reference's initial weights, with those of norms and biases replaced."""
    return initial_weights(twin.model, twin.train.seed) | vectors_of(twin)


def vectors_of(twin: PlanSpec) -> dict[str, Tensor]:
    """Replacements for what starts at one or zero, between 0.5 and 1.5, each different."""
    generator = torch.Generator("cpu").manual_seed(1)
    return {
        name: 0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        for name, parameter in parameters_of(twin.model).items()
        if parameter.start != "drawn"
    }


def total_steps(readings: Sequence[Reading]) -> int:
    """Steps of the schedule: those that are run, and those that are not."""
    return sum(reading.steps for reading in readings) + UNREACHED
