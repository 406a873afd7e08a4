"""One twin, from program text to findings: corpus, reference, execution, comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from backends.reference.data import Batch, Corpus, batch, evaluation_batch, read_corpus
from backends.reference.parameters import parameters_of
from backends.reference.training import Step, train
from backends.reference.weights import initial_weights
from compiler.huggingface.names import stored_by
from compiler.planner.phases import phases_of
from compiler.schema.plan import PlanSpec
from compiler.twin.training import UNREACHED
from dsl.schema import Auto
from llamac.huggingface.export import write_shards
from llamac.huggingface.safetensors_file import Streamed
from llamac.verify.compare import BOUNDS, Bounds, compare
from llamac.verify.corpus import Reading, block_of, steps_of, write_corpus
from llamac.verify.execute import execute, import_ahead, store_for
from llamac.verify.result import TwinResult
from llamac.verify.worker import Task

SHARD = 8192
"""Bytes of a file of the weights that a twin starts from."""

PATIENCE = 45.0
"""Seconds without progress after which a twin counts as hanging."""


def readings_of(twin: PlanSpec) -> tuple[Reading, ...]:
    """The batches of a twin, phase by phase; the last steps of the last one are not reached."""
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
        seed=twin.train.seed,
        dp=dp,
        microbatch=microbatch,
        microbatches=sequences // (dp * microbatch),
        steps=steps,
    )


def expected(twin: PlanSpec, folder: Path) -> tuple[Step, ...]:
    """What the reference does with the same weights and data."""
    readings = readings_of(twin)
    total = sum(reading.steps for reading in readings) + UNREACHED
    corpus = read_corpus(twin.train, corpus_folder(folder))
    block = block_of(readings)
    batches = tuple(
        _batch(corpus, reading, position, block) for reading, position in steps_of(readings)
    )
    evaluation = None
    if twin.train.eval is not None:
        seq_len, sequences = readings[-1].seq_len, twin.train.eval.sequences
        evaluation = evaluation_batch(corpus, seq_len, sequences)
    return train(twin.model, twin.train, total, start_weights(twin), batches, evaluation)


def first_batches(twin: PlanSpec, folder: Path) -> tuple[Batch, ...]:
    """Of the first step of every phase."""
    corpus = read_corpus(twin.train, corpus_folder(folder))
    readings = readings_of(twin)
    starts = dict(reversed(list(steps_of(readings))))
    block = block_of(readings)
    return tuple(_batch(corpus, reading, starts[reading], block) for reading in readings)


def _batch(corpus: Corpus, reading: Reading, position: int, block: int) -> Batch:
    return batch(corpus, reading.seed, reading.seq_len, reading.global_batch, position, block)


def start_weights(twin: PlanSpec) -> dict[str, torch.Tensor]:
    """The reference's initial weights, with those of norms and biases replaced."""
    return initial_weights(twin.model, twin.train.seed) | vectors_of(twin)


def vectors_of(twin: PlanSpec) -> dict[str, torch.Tensor]:
    """Replacements for what starts at one or zero, between 0.5 and 1.5, each different."""
    generator = torch.Generator("cpu").manual_seed(1)
    return {
        name: 0.5 + torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
        for name, parameter in parameters_of(twin.model).items()
        if parameter.start != "drawn"
    }


def run_twin(
    files: Mapping[str, str],
    twin: PlanSpec,
    folder: Path,
    patience: float = PATIENCE,
    bounds: Bounds = BOUNDS,
) -> TwinResult:
    """Runs the program `files` (path -> text, the twin's config.py among them) in `folder`.

    `files` must read its data from `corpus_folder(folder)`, and the weights that it starts from,
    if any, from `weights_folder(folder)`.
    """
    started = time.monotonic()
    program, output, corpus = folder / "program", folder / "output", corpus_folder(folder)
    for path in (program, output, corpus):
        path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (program / name).write_text(text, encoding="utf-8")
    write_corpus(twin.train.data, readings_of(twin), corpus)
    initial = initial_weights(twin.model, twin.train.seed)
    if twin.train.init_from is not None:
        initial = start_weights(twin)
        write_weights(twin, initial, weights_folder(folder))

    import_ahead({name: text for name, text in files.items() if name.endswith(".py")})
    world = twin.cluster.nodes * twin.cluster.node.devices
    store = store_for(world)
    task = Task(
        program=program,
        output=output,
        world=world,
        port=store.port,
        steps=sum(reading.steps for reading in readings_of(twin)),
        device="cpu",
        vectors=vectors_of(twin),
        evaluates=twin.train.eval is not None,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    records, stopped = execute(task, patience)
    torch.set_num_threads(threads)
    observables, differences = (
        compare(
            records,
            initial,
            expected(twin, folder),
            files,
            bounds,
        )
        if not stopped
        else ((), ())
    )
    return TwinResult(
        sizes=sizes_of(twin),
        ranks=world,
        device="cpu",
        seconds=time.monotonic() - started,
        observables=observables,
        differences=differences,
        stopped=tuple(stopped),
    )


def corpus_folder(folder: Path) -> Path:
    return folder / "corpus"


def weights_folder(folder: Path) -> Path:
    return folder / "weights"


def write_weights(twin: PlanSpec, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """As a Hugging Face folder of several small shards, exact."""
    folder.mkdir()
    tensors = [
        Streamed(at.name, at.shape, part(weights[name].reshape(at.shape)))
        for name, at in stored_by(twin.model).items()
    ]
    write_shards(folder, tensors, "fp64", largest=SHARD)


def part(whole: torch.Tensor) -> Callable[[int, int], torch.Tensor]:
    return lambda first, last: whole[first:last]


def sizes_of(twin: PlanSpec) -> tuple[tuple[str, int], ...]:
    """The numbers that were chosen to differ."""
    readings = readings_of(twin)
    data = readings[0].dp * twin.cp
    names = [phase.name for phase in phases_of(twin)] if len(readings) > 1 else [""]
    named = dict(zip(names, readings, strict=True))
    shard = twin.fsdp if not isinstance(twin.fsdp, Auto) else data
    layer = twin.model.layer.kinds[0]
    return (
        ("replicate", data // shard),
        ("fsdp", shard),
        ("tp", twin.tp),
        ("cp", twin.cp),
        ("pp", twin.pp),
        *(size for name, reading in named.items() for size in _batch_sizes(name, reading)),
        ("layers", twin.model.layers),
        ("d_model", twin.model.d_model),
        ("heads", layer.attention.heads),
        ("kv_heads", layer.attention.kv_heads),
        ("head_dim", layer.attention.head_dim),
        ("d_ff", layer.ffn.d_ff),
        ("vocab", twin.model.vocab),
    )


def _batch_sizes(phase: str, reading: Reading) -> Iterator[tuple[str, int]]:
    """`seq`, or of one of several phases `long.seq`."""
    prefix = f"{phase}." if phase else ""
    yield f"{prefix}microbatch", reading.microbatch
    yield f"{prefix}microbatches", reading.microbatches
    yield f"{prefix}seq", reading.seq_len
