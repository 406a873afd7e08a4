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
"""Steps that are run and compared; the schedule ends one step later, so its last is not reached."""

FIRST_STEPS = 2
"""Of the first of several phases; each other has one, so that the state crosses every border."""

UNREACHED = 1

CLIP = 1e-3
"""Far below the gradient norm of any twin, so that clipping acts in every step."""

LR = 0.02
"""Moves a weight by several per cent a step, so that a wrong update shows."""

SEPARATOR = 5

MIXTURE_WEIGHTS = (2.5, 1.0, 1.5)
"""Of three sources: a round of 10 sequences, and no two shares alike."""


def shrink_training(train: TrainSpec) -> TrainSpec:
    return replace(
        train,
        steps=STEPS + UNREACHED,
        tokens=None,
        optimizer=_make_optimizer(train.optimizer),
        lr_schedule=_shrink_lr_schedule(train.lr_schedule, train.optimizer.lr),
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


def shrink_evaluation(evaluation: EvalSpec | None, at_once: int) -> EvalSpec | None:
    """One sequence more than all ranks read at once, so that some ranks have nothing to read."""
    return None if evaluation is None else replace(evaluation, sequences=at_once + 1)


def _make_optimizer(optimizer: AdamW) -> AdamW:
    """Numbers that nobody writes, so that one left in the text instead of config.py shows."""
    return AdamW(
        lr=LR if optimizer.lr > 0 else 0.0,
        betas=(0.8, 0.9),
        eps=1e-6,
        weight_decay=0.3 if optimizer.weight_decay > 0 else 0.0,
    )


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


def _shrink_lr_schedule(schedule: LrSchedule, peak: float) -> LrSchedule:
    """The kind is kept; warm-up, if any, takes two steps, so that all parts are met by step 3."""
    warmup = min(schedule.warmup, 1)
    match schedule:
        case Constant():
            return Constant(warmup=min(schedule.warmup, 2))
        case Cosine():
            return Cosine(warmup=warmup, min_lr=_min_lr(schedule.min_lr, peak))
        case Wsd():
            return Wsd(warmup=warmup, decay=2, min_lr=_min_lr(schedule.min_lr, peak))


def _min_lr(written: float, peak: float) -> float:
    """The same share of the peak as in the plan."""
    return LR * written / peak if peak > 0 else 0.0
