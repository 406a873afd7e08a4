"""Rows of a `train` block: how long, on what, with which optimizer, watched how."""

from __future__ import annotations

from typing import Literal

from dsl.schema import Count, Effect, Named, entry, row

MEANING = Effect.MEANING
OPERATION = Effect.OPERATION


@entry("adamw")
class AdamW:
    lr: float = row("peak learning rate", effect=MEANING, minimum=0)
    betas: tuple[float, ...] = row(
        "decay of both moments",
        effect=MEANING,
        default=(0.9, 0.95),
        minimum=0,
        below=1,
        length=2,
    )
    eps: float = row(
        "added to the root of the second moment", effect=MEANING, default=1e-8, above=0
    )
    weight_decay: float = row(
        "decoupled decay, on matrices only", effect=MEANING, default=0.1, minimum=0
    )


@entry("cosine")
class Cosine:
    """Linear warm-up, then half a cosine down to min_lr at the last step."""

    warmup: int = row("steps of warm-up", effect=MEANING, words=("steps",), default=0, minimum=0)
    min_lr: float = row("final learning rate", effect=MEANING, default=0.0, minimum=0)


@entry("wsd")
class Wsd:
    """Warm-up, stable, then linear decay over the last `decay` steps."""

    warmup: int = row("steps of warm-up", effect=MEANING, words=("steps",), default=0, minimum=0)
    decay: int = row("steps of decay", effect=MEANING, words=("steps",), minimum=1)
    min_lr: float = row("final learning rate", effect=MEANING, default=0.0, minimum=0)


@entry("constant")
class Constant:
    warmup: int = row("steps of warm-up", effect=MEANING, words=("steps",), default=0, minimum=0)


LrSchedule = Cosine | Wsd | Constant


@entry("text")
class TextData:
    """Text files, a file a document, one token a byte; byte 0 separates documents."""

    train: str = row("file or folder to train on", effect=MEANING)
    validation: str | None = row("file or folder to validate on", effect=MEANING, default=None)


@entry("tokens")
class TokenData:
    """Pre-tokenised little-endian uint32 files; `separator` ends a document.

    Without paths, the program wants `--data PATH` when it starts.
    """

    train: str | None = row("file or folder to train on", effect=MEANING, default=None)
    validation: str | None = row("file or folder to validate on", effect=MEANING, default=None)
    separator: int = row("token that ends a document", effect=MEANING, default=0, minimum=0)


Data = TextData | TokenData


@entry("eval")
class EvalSpec:
    every: int = row("steps between evaluations", effect=OPERATION, words=("steps",), minimum=1)
    sequences: int = row(
        "validation sequences read each time",
        effect=OPERATION,
        words=("sequences",),
        default=64,
        minimum=1,
    )
    prompt: str | None = row("print a sample that continues this", effect=OPERATION, default=None)


@entry("checkpoint")
class CheckpointSpec:
    every: int = row("steps between checkpoints", effect=OPERATION, words=("steps",), minimum=1)
    keep: int = row("checkpoints kept", effect=OPERATION, default=2, minimum=1)


@entry("log")
class LogSpec:
    every: int = row(
        "steps between lines", effect=OPERATION, words=("steps",), default=10, minimum=1
    )
    tensorboard: bool = row("write TensorBoard events too", effect=OPERATION, default=False)
    wandb: str | None = row(
        "project on Weights & Biases to report to", effect=OPERATION, default=None
    )


@entry("phase")
class PhaseSpec:
    """What a phase of the run changes; rows left out are the train block's own."""

    tokens: int | None = row("tokens", effect=MEANING, words=("tokens",), default=None, minimum=1)
    steps: int | None = row("steps", effect=MEANING, words=("steps",), default=None, minimum=1)
    seq_len: int | None = row(
        "tokens a sequence", effect=MEANING, words=("tokens",), default=None, minimum=1
    )
    global_batch: Count | None = row(
        "batch of one step", effect=MEANING, words=("tokens", "sequences"), default=None, minimum=1
    )


@entry("train")
class TrainSpec:
    steps: int | None = row(
        "optimizer steps", effect=MEANING, words=("steps",), default=None, minimum=1
    )
    tokens: int | None = row(
        "tokens to train on", effect=MEANING, words=("tokens",), default=None, minimum=1
    )
    seq_len: int | None = row(
        "tokens a sequence", effect=MEANING, words=("tokens",), default=None, minimum=1
    )
    global_batch: Count | None = row(
        "batch of one step", effect=MEANING, words=("tokens", "sequences"), default=None, minimum=1
    )
    optimizer: AdamW = row("optimizer", effect=MEANING)
    lr_schedule: LrSchedule = row("learning rate", effect=MEANING, default=Constant())
    clip: float | None = row("largest global gradient norm", effect=MEANING, default=1.0, above=0)
    precision: Literal["bf16", "fp32"] = row(
        "dtype of compute; parameters and reductions stay fp32", effect=MEANING, default="bf16"
    )
    seed: int = row("seed of weights and data order", effect=MEANING, default=0, minimum=0)
    data: Data = row("what is read", effect=MEANING, default=TokenData())
    eval: EvalSpec | None = row("validation", effect=OPERATION, default=None)
    checkpoint: CheckpointSpec | None = row("saving", effect=OPERATION, default=None)
    log: LogSpec = row("console and metrics", effect=OPERATION, default=LogSpec())
    init_from: str | None = row(
        "Hugging Face folder whose weights it starts from", effect=MEANING, default=None
    )
    phase: Named[PhaseSpec] = row("named phases, in order", effect=MEANING, default=Named())
