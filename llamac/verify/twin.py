"""One twin, from program text to findings: corpus, reference, execution, comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from compiler.build_graph import build_graph
from compiler.huggingface.names import stored_by
from compiler.planner.phases import phases_of
from compiler.schema.plan import PlanSpec
from dsl.schema import Auto
from llamac.huggingface.export import write_shards
from llamac.huggingface.safetensors_file import Streamed
from llamac.verify.compare import BOUNDS, Bounds, compare
from llamac.verify.corpus import Reading, write_corpus
from llamac.verify.execute import GRACE, execute, import_ahead, store_for
from llamac.verify.expected import (
    Run,
    expected_run,
    forced_of,
    prefixes_of,
    readings_of,
    start_weights,
    total_steps,
    vectors_of,
)
from llamac.verify.observe import Task
from llamac.verify.result import TwinResult

SHARD = 8192
"""Bytes of a file of the weights that a twin starts from."""

PATIENCE = 45.0
"""Seconds without progress after which a twin counts as hanging."""


@dataclass(frozen=True)
class Prepared:
    """A twin with its corpus and weights in `folder`: what runs of several texts share."""

    twin: PlanSpec
    folder: Path

    @cached_property
    def run(self) -> Run:
        folders = corpus_folder(self.folder), validation_folder(self.folder)
        return expected_run(self.twin, *folders)


@dataclass(frozen=True)
class Limits:
    """Of a run: the largest errors, and how long it may be silent, or go on after a rank died."""

    bounds: Bounds = field(default_factory=lambda: BOUNDS)
    patience: float = PATIENCE
    grace: float = GRACE


def prepare_twin(twin: PlanSpec, folder: Path) -> Prepared:
    corpus = corpus_folder(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    write_corpus(twin.train.data, readings_of(twin), corpus)
    write_corpus(twin.train.data, readings_of(twin), validation_folder(folder), validation=True)
    if twin.train.init_from is not None:
        write_weights(twin, start_weights(twin), weights_folder(folder))
    return Prepared(twin, folder)


def run_twin(
    files: Mapping[str, str], prepared: Prepared, limits: Limits, scratch: str = "scratch"
) -> TwinResult:
    """Runs the program `files` (path -> text, the twin's config.py among them) in a folder
    `scratch` of the twin's.

    `files` must read its data from `corpus_folder(folder)`, what it evaluates on, if anything, from
    `validation_folder(folder)`, and the weights that it starts from, if any, from
    `weights_folder(folder)`.
    """
    started = time.monotonic()
    twin, folder = prepared.twin, prepared.folder / scratch
    program, output = folder / "program", folder / "output"
    for path in (program, output):
        path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (program / name).write_text(text, encoding="utf-8")
    import_ahead({name: text for name, text in files.items() if name.endswith(".py")})
    readings, world = readings_of(twin), twin.cluster.nodes * twin.cluster.node.devices
    store = store_for(world)
    task = Task(
        program=program,
        output=output,
        world=world,
        port=store.port,
        steps=sum(reading.steps for reading in readings),
        schedule=total_steps(readings),
        device="cpu",
        vectors=vectors_of(twin),
        evaluates=twin.train.eval is not None,
        prefixes=prefixes_of(twin),
        forced=forced_of(twin),
        compiled=twin.compile is True,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    records, stopped = execute(task, limits.patience, limits.grace)
    torch.set_num_threads(threads)
    observables, differences = (
        compare(records, prepared.run, files, limits.bounds) if not stopped else ((), ())
    )
    executed = {
        file: frozenset(line for record in records for line in record["lines"].get(file, ()))
        for file in files
    }
    return TwinResult(
        sizes=sizes_of(twin),
        ranks=world,
        device="cpu",
        seconds=time.monotonic() - started,
        observables=observables,
        differences=differences,
        stopped=tuple(stopped),
        executed=executed,
    )


def corpus_folder(folder: Path) -> Path:
    return folder / "corpus"


def validation_folder(folder: Path) -> Path:
    return folder / "validation"


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
    graph = build_graph(twin.model)
    dimensions = {
        dim.name: dim.size for dim in (*graph.kinds[0].dimensions, *graph.head.dimensions)
    }
    return (
        ("replicate", data // shard),
        ("fsdp", shard),
        ("tp", twin.tp),
        ("cp", twin.cp),
        ("pp", twin.pp),
        *(size for name, reading in named.items() for size in _batch_sizes(name, reading)),
        ("layers", twin.model.layers),
        *dimensions.items(),
    )


def _batch_sizes(phase: str, reading: Reading) -> Iterator[tuple[str, int]]:
    """`seq`, or of one of several phases `long.seq`."""
    prefix = f"{phase}." if phase else ""
    yield f"{prefix}microbatch", reading.microbatch
    yield f"{prefix}microbatches", reading.microbatches
    yield f"{prefix}seq", reading.seq_len
