"""`llamac dryrun`: step one rank of each kind at its real size, under fake tensors."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND


@click.command()
@options.spec_and_plan
@options.as_json
def dryrun(file: str, plan: str | None, overrides: options.Overrides, as_json: bool) -> None:
    """Build and step one rank of each kind of pipeline stage at its real size, without a GPU.

    Prints memory by category and every collective, and compares the collectives with the plan.
    Exit codes: 0 equal, 1 a difference, or a rank that does not build or step.
    """
    if find_spec("torch") is None:
        raise click.UsageError("this runs the program, which needs torch: install llamac[torch]")
    from llamac.cli.report import compiled_plan
    from llamac.dryrun.dryrun import dryrun as run
    from llamac.dryrun.result import as_json as result_json
    from llamac.dryrun.result import as_text

    _, compiled = compiled_plan(file, plan, overrides)
    result = run(compiled)
    text = json.dumps(result_json(result), indent=2) if as_json else as_text(result)
    click.echo(text.rstrip("\n"))
    sys.exit(FINE if result.ok else FOUND)
