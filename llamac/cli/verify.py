"""`llamac verify`: the program of a plan against an independent reference."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llamac.cli import options
from llamac.cli.exits import FAULT, FINE, FOUND


@click.command()
@click.argument("file", metavar="[FILE]", required=False)
@options.plan
@options.overrides
@click.option(
    "--program",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Check the program in DIR, edits included, instead of a spec's.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--fault", metavar="NAME", help="Seed a fault first, to see what finding it looks like.")
@options.as_json
def verify(
    file: str | None,
    plan: str | None,
    overrides: options.Overrides,
    program: Path | None,
    device: str,
    fault: str | None,
    as_json: bool,
) -> None:
    """Run the program's small twin and compare it with a reference, number by number.

    Exit codes: 0 verified, 1 a difference (a hang counts), 2 could not run.
    """
    if (file is None) == (program is None):
        raise click.UsageError("name a FILE, or a directory with --program")
