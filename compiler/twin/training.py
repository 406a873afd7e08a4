"""The training run of a twin: a few steps, and numbers that nobody writes."""

from __future__ import annotations

from dataclasses import replace

from compiler.plan import PhasePlan
from compiler.schema.train import (
    AdamW,
    Constant,
    Cosine,
    Data,
    EvalSpec,
    HfData,
    JsonlData,
    LrSchedule,
    MegatronData,
    MixtureData,
    ParquetData,
    PhaseSpec,
    ShardData,
    Source,
    TextData,
    TokenData,
    TrainSpec,
    Wsd,
)
from compiler.twin.batches import Shape
from compiler.twin.mesh_sizes import AtomSizes
from dsl.schema import Named

STEPS = 3
"""Steps that are run and compared."""

FIRST_STEPS = 2
"""Of the first of several phases; each other has one, so that the state crosses every border."""

UNREACHED = 9
"""Steps of the schedule after the last one that runs: the plateau, the decay and the minimum are
there, and are compared as a function of the step."""

CLIP = 1e-3
"""Far below the gradient norm of any twin, so that clipping acts in every step."""

LR = 0.02
"""Moves a weight by several per cent per step, so that a wrong update shows."""

MIN_LR = 0.003

OPTIMIZER = AdamW(lr=LR, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3)
"""Numbers that nobody writes, so that one left in the text instead of config.py shows."""

WARMUP = 5
DECAY = 3
"""Steps. A plateau lies between warm-up and decay, and the last step of a run has the minimum. The
warm-up has more steps than an axis has ranks, so that a factor points to one of them."""

PROMPT = "a sample "
"""Repeated to nearly a sequence, so that a sample outgrows it."""

SEPARATOR = 5

MIXTURE_WEIGHTS = (2.5, 1.0, 1.5)
"""Of three sources: a round of 10 sequences, and no two shares alike."""


def shrink_training(train: TrainSpec) -> TrainSpec:
    return replace(
        train,
        steps=STEPS + UNREACHED,
        tokens=None,
        optimizer=OPTIMIZER,
        lr_schedule=_shrink_lr_schedule(train.lr_schedule),
        clip=None if train.clip is None else CLIP,
        seed=train.seed + 17,
        data=_shrink_data(train.data),
    )


def train_phases(
    phases: tuple[PhasePlan, ...], shapes: tuple[Shape, ...], atoms: AtomSizes
) -> Named[PhaseSpec]:
    if len(phases) == 1:
        return Named()
    steps = [FIRST_STEPS, *(1 for _ in phases[1:])]
    steps[-1] += UNREACHED
    return Named(
        tuple(
            (
                phase.name,
                PhaseSpec(
                    steps=count, seq_len=shape.seq_len, global_batch=shape.global_batch(atoms)
                ),
            )
            for phase, shape, count in zip(phases, shapes, steps, strict=True)
        )
    )


def shrink_evaluation(
    evaluation: EvalSpec | None, atoms: AtomSizes, shape: Shape
) -> EvalSpec | None:
    """One sequence more than all ranks read at once, so that some ranks have nothing to read. The
    prompt is one token short of a sequence, so that a sample of several tokens outgrows it."""
    if evaluation is None:
        return None
    prompt = None if evaluation.prompt is None else (PROMPT * shape.seq_len)[: shape.seq_len - 1]
    return replace(evaluation, sequences=atoms.dp * shape.microbatch + 1, prompt=prompt)


def _shrink_data(data: Data) -> Data:
    """The same form; what is prepared first is shards that verification writes itself."""
    shards = ShardData(train="shards", validation="shards")
    match data:
        case TextData(tokenizer=None):
            return data
        case TokenData() | MegatronData():
            return replace(data, separator=SEPARATOR)
        case MixtureData():
            sources = (
                (name, Source(data=shards, weight=weight))
                for name, weight in zip("abc", MIXTURE_WEIGHTS, strict=True)
            )
            return MixtureData(source=Named(tuple(sources)))
        case TextData() | JsonlData() | ParquetData() | HfData() | ShardData():
            return shards


def _shrink_lr_schedule(schedule: LrSchedule) -> LrSchedule:
    """Of the same kind, with every part that the kind has."""
    match schedule:
        case Constant():
            return Constant(warmup=WARMUP)
        case Cosine():
            return Cosine(warmup=WARMUP, min_lr=MIN_LR)
        case Wsd():
            return Wsd(warmup=WARMUP, decay=DECAY, min_lr=MIN_LR)
