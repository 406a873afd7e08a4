"""`llamac check`: every diagnostic of every file."""

from __future__ import annotations

import sys

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND
from llamac.cli.terminal import counted


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@options.overrides
@click.option(
    "--output-format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    help="Format of the diagnostics on stdout.",
)
@click.option(
    "--fix", is_flag=True, help="Apply the safe fixes: those that cannot change the meaning."
)
@click.option("--unsafe-fixes", is_flag=True, help="Apply the unsafe fixes as well.")
def check(
    files: tuple[str, ...],
    overrides: options.Overrides,
    form: options.Format,
    fix: bool,
    unsafe_fixes: bool,
) -> None:
    """Report every error and warning in the files and in all of their plans."""
    from llamac import api
    from llamac.cli.report import Report

    report = Report()
    for file in files:
        planned = api.plan(file, overrides)
        if fix or unsafe_fixes:
            changed = api.fix(planned, unsafe=unsafe_fixes)
            for name in changed:
                click.echo(f"{name}: fixed", err=True)
            planned = api.plan(file, overrides) if changed else planned
        report.add(planned.diagnostics, planned.sources)
    sys.stdout.write(report.rendered(form, sys.stdout))
    click.echo(f"{counted(len(files), 'file')}: {report.summary()}", err=True)
    sys.exit(FOUND if report.errors else FINE)
