"""`llamac prepare`: tokenise the data of a plan into shards."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llamac.cli import options
from llamac.cli.exits import FINE


@click.command()
@options.spec_and_plan
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the shards; default: prepared/PLAN, where the program looks for them.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Number of processes; default: one per core. The result does not depend on it.",
)
def prepare(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    output: Path | None,
    processes: int | None,
) -> None:
    """Tokenise the data of a plan into shards, which its program maps into memory.

    You can interrupt and restart it: finished shards are kept, as long as the files they were
    made from have not changed.
    """
    from llamac.cli.preparing import prepare_data
    from llamac.cli.report import compiled_plan

    planned, compiled = compiled_plan(file, plan, overrides)
    prepare_data(planned, compiled, output, processes)
    sys.exit(FINE)
