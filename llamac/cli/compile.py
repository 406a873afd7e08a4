"""`llamac compile`: write the program of a plan to a directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backends.pytorch.versions import TorchVersion
from llamac.cli import options
from llamac.cli.exits import FINE


@click.command("compile")
@options.spec_and_plan
@options.output
@options.torch
@click.option("--force", is_flag=True, help="Overwrite edited files, keeping each as NAME.orig.")
def compile_(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    output: Path | None,
    torch: TorchVersion,
    force: bool,
) -> None:
    """Write the program of a plan: Python files, launch scripts, and a manifest of them.

    Consecutive phases with the same parallel layout share one program. If there are several
    programs, each gets a directory named after its phases: `start`, or `start-main` for a range.

    A file that you have edited is never overwritten: the command prints the difference and exits
    with 1. Other files in DIR are kept. The directory is replaced as a whole, so it never holds
    half a program; a shell whose working directory it is must `cd` into it again.
    """
    from llamac import api
    from llamac.cli.report import compiled_plan, write_program

    planned, compiled = compiled_plan(file, plan, overrides)
    target = output or Path("out", compiled.plan.name)
    for place, part in api.places(compiled, target):
        result = write_program(planned, part, place, torch=torch, force=force)
        state = "written" if result.changed else "unchanged"
        click.echo(f"{place}: {state}", err=True)
    sys.exit(FINE)
