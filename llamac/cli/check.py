"""`llamac check`: every diagnostic of every file."""

from __future__ import annotations

import sys

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@options.overrides
@click.option(
    "--output-format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    help="How diagnostics are written to stdout.",
)
def check(files: tuple[str, ...], overrides: options.Overrides, form: options.Format) -> None:
    """All diagnostics of all files and their plans."""
    from llamac import api
    from llamac.cli.report import Report

    report = Report()
    for file in files:
        planned = api.plan(file, overrides)
        report.add(planned.diagnostics, planned.sources)
    sys.stdout.write(report.rendered(form, sys.stdout))
    click.echo(f"{_count(len(files), 'file')}: {report.summary()}", err=True)
    sys.exit(FOUND if report.errors else FINE)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
