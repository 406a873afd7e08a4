"""`llamac compile`: the program of a plan, in a directory."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llamac.cli import options
from llamac.cli.exits import FINE


@click.command("compile")
@options.spec_and_plan
@options.output
@options.torch
@click.option("--force", is_flag=True, help="Write over edited files, keeping each as NAME.orig.")
def compile_(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    output: Path | None,
    torch: options.Torch,
    force: bool,
) -> None:
    """Write the program of a plan: Python files, launch scripts, and a manifest of them.

    Phases in a row that are spread alike are one program. Where there are several programs, each
    has a folder of its phases' name, `start`, or `start-main` from first to last.

    A file that was edited since is never written over: this shows the difference and exits with 1.

    Other files of DIR stay as they are. The directory is replaced as a whole, so that it never
    holds half a program; a shell that stands in it must enter it again.
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
