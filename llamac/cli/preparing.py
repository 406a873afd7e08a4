"""Prepare the data of a plan, and report the progress and the result."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from compiler.data import places_of
from compiler.pipeline import Compiled
from dsl.diagnostics import Diagnostic
from llamac import api
from llamac.cli.exits import FAULT, FOUND, INTERRUPTED
from llamac.cli.report import show
from llamac.cli.terminal import counted
from llamac.prepare.prepare import Split, Tick, is_ready, prepare
from llamac.prepare.workers import WorkerDied


def prepare_data(
    planned: api.Planned,
    compiled: Compiled,
    folder: Path | None = None,
    processes: int | None = None,
) -> None:
    """`llamac prepare`: prepare everything and report it; exit if the data cannot be used."""
    splits = _prepare(planned, compiled, folder, processes, thorough=True)
    places = places_of(compiled.plan.name, compiled.plan.spec)
    if not splits:
        where = places.train or "what `--data` names"
        click.echo(f"nothing to prepare: the program reads {where} directly", err=True)
    for split in splits:
        click.echo(_summary(split), err=True)
    if folder is not None and splits and folder != Path(places.prepared or ""):
        click.echo(
            f"the program looks in {places.prepared}: "
            f"run it with --data {folder / 'train'}, or set train.prepared",
            err=True,
        )


def prepare_if_needed(planned: api.Planned, compiled: Compiled) -> None:
    """Before `llamac run`: silent unless there is something to prepare."""
    if is_ready(compiled.plan.name, compiled.plan.spec):
        return
    for split in _prepare(planned, compiled, None, None, thorough=False):
        if split.made:
            click.echo(_summary(split), err=True)


def _prepare(
    planned: api.Planned,
    compiled: Compiled,
    folder: Path | None,
    processes: int | None,
    thorough: bool,
) -> tuple[Split, ...]:
    plan = compiled.plan
    try:
        done = prepare(
            plan.name,
            plan.spec,
            planned.origins,
            folder,
            processes=processes,
            thorough=thorough,
            progress=_bar,
        )
    except WorkerDied as died:
        (code,) = died.args
        click.echo(
            f"error: a worker was killed ({signal.Signals(-code).name}), perhaps because memory "
            "ran out; run the command again with fewer --processes to resume",
            err=True,
        )
        sys.exit(FAULT)
    except KeyboardInterrupt:
        click.echo("stopped; run the command again to resume, finished shards are kept", err=True)
        sys.exit(INTERRUPTED)
    if isinstance(done, Diagnostic):
        show((done,), planned.sources)
        sys.exit(FOUND)
    return done


def _summary(split: Split) -> str:
    kept = split.shards - split.made
    return (
        f"{split.folder}: {counted(split.tokens, 'token')} of "
        f"{counted(split.documents, 'document')} in {counted(split.shards, 'shard')}, "
        f"{kept:,} kept"
    )


@contextmanager
def _bar(split: str, size: int) -> Generator[Tick]:
    """A progress bar on a terminal, one line elsewhere."""
    label = f"{split}: preparing {size / 2**20:,.1f} MiB"
    if not sys.stderr.isatty():
        click.echo(label, err=True)
    with click.progressbar(
        length=size,
        label=label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        yield bar.update
