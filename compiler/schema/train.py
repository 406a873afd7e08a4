"""Rows of a `train` block: how long, on what, with which optimizer, watched how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dsl.schema import Count, Dimension, Effect, Named, entry, row

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


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Rows of data that is text yet; `llamac prepare` makes tokens of it."""

    train: str = row("file or folder to train on", effect=MEANING)
    validation: str | None = row("file or folder to validate on", effect=MEANING, default=None)
    tokenizer: str | None = row(
        "a `tokenizer.json`; left out: one token a byte", effect=MEANING, default=None
    )
    separator: str | None = row(
        "the tokenizer's token that ends a document, as it is written",
        effect=MEANING,
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Records(Documents):
    """Documents that are records of a file, and which part of a record is the text."""

    text: str = row(
        "field of a record that holds the text; `a.b` is field `b` of field `a`",
        effect=MEANING,
        default="text",
    )


@entry("text")
class TextData(Documents):
    """Text files, a file a document.

    Without a tokenizer, the program itself reads them: one token a byte, and byte 0 separates
    documents. With one, `llamac prepare` makes shards of tokens first.
    """


@entry("jsonl")
class JsonlData(Records):
    """Files of JSON objects, one per line, a document each.

    Those of a folder end in `.jsonl`, `.ndjson` or `.json`, in any case. Compressed, one of `.gz`,
    `.bz2`, `.xz`, `.zst` and `.lz4` follows.
    """


@entry("parquet")
class ParquetData(Records):
    """Parquet files, a document per row; those of a folder end in `.parquet`. The column holds
    strings, or bytes that are UTF-8."""


@entry("hf")
class HfData(Records):
    """Folders that `save_to_disk` of Hugging Face's `datasets` wrote: one dataset, a document a
    row."""


@entry("tokens")
class TokenData:
    """Files of tokens and nothing else: little-endian numbers of the width that `dtype` says.

    int32 is read as uint32, since no token is negative. `separator` ends a document. Without paths,
    the program wants `--data PATH` when it starts.
    """

    train: str | None = row("file or folder to train on", effect=MEANING, default=None)
    validation: str | None = row("file or folder to validate on", effect=MEANING, default=None)
    dtype: Literal["uint16", "uint32"] = row(
        "type of the tokens in the files", effect=MEANING, default="uint32"
    )
    separator: int = row("token that ends a document", effect=MEANING, default=0, minimum=0)


@entry("shards")
class ShardData:
    """Folders that `llamac prepare` wrote, each with an `index.json`."""

    train: str = row("folder to train on", effect=MEANING)
    validation: str | None = row("folder to validate on", effect=MEANING, default=None)


@entry("megatron")
class MegatronData:
    """Pairs of `NAME.bin` and `NAME.idx` as Megatron-LM's preprocessing writes them; a path is
    NAME, or a folder of pairs. Documents are told apart by the token that ends them."""

    train: str = row("pair or folder of pairs to train on", effect=MEANING)
    validation: str | None = row(
        "pair or folder of pairs to validate on", effect=MEANING, default=None
    )
    separator: int = row("token that ends a document", effect=MEANING, minimum=0)


Corpus = TextData | JsonlData | ParquetData | HfData | TokenData | ShardData | MegatronData


@entry("source")
class Source:
    data: Corpus = row("what is read", effect=MEANING)
    weight: float = row(
        "share of the sequences, relative to the other sources", effect=MEANING, above=0
    )


@entry("mixture")
class MixtureData:
    """Several sources, of which each step takes sequences in proportion to their weights.

    `llamac prepare` brings all of them into one form; files of tokens stay where they are. What
    the sources have for validation is read as one.
    """

    source: Named[Source] = row("a named source", effect=MEANING, default=Named())


Data = Corpus | MixtureData


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


@entry("guard")
class GuardSpec:
    """When a run ends by itself, so that it does not burn hours in vain."""

    skips: int = row(
        "steps in a row that are skipped, their gradients not being finite",
        effect=OPERATION,
        words=("steps",),
        default=10,
        minimum=1,
    )
    patience: float = row(
        "time without progress, after which every process says where it waits; torch would end "
        "them after 10 minutes, and name nobody",
        effect=OPERATION,
        dimension=Dimension.SECONDS,
        default=480.0,
        minimum=1,
        below=600,
    )


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
        "tokens per sequence", effect=MEANING, words=("tokens",), default=None, minimum=1
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
        "tokens per sequence", effect=MEANING, words=("tokens",), default=None, minimum=1
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
    packing: Literal["documents", "concatenate"] = row(
        "documents: attention and targets stay inside one; concatenate: they cross their borders",
        effect=MEANING,
        default="documents",
    )
    prepared: str | None = row(
        "folder that `llamac prepare` writes and the program reads; left out: prepared/PLAN",
        effect=OPERATION,
        default=None,
    )
    eval: EvalSpec | None = row("validation", effect=OPERATION, default=None)
    checkpoint: CheckpointSpec | None = row("saving", effect=OPERATION, default=None)
    guard: GuardSpec = row("when a run ends by itself", effect=OPERATION, default=GuardSpec())
    log: LogSpec = row("console and metrics", effect=OPERATION, default=LogSpec())
    init_from: str | None = row(
        "Hugging Face folder whose weights it starts from", effect=MEANING, default=None
    )
    phase: Named[PhaseSpec] = row("named phases, in order", effect=MEANING, default=Named())
