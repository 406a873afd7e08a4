"""`llamac prepare`: the data of a plan as shards of tokens."""

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
    help="Where the shards go; default where the program looks for them, prepared/PLAN.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="How many work at once; default one a core. The result does not depend on it.",
)
def prepare(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    output: Path | None,
    processes: int | None,
) -> None:
    """Tokenise the data of a plan into shards, which its program maps into memory.

    Can be interrupted and started again: shards that are finished are kept, as are those made of
    files that have not changed since.
    """
    from llamac.cli.preparing import prepare_data
    from llamac.cli.report import compiled_plan

    planned, compiled = compiled_plan(file, plan, overrides)
    prepare_data(planned, compiled, output, processes)
    sys.exit(FINE)
