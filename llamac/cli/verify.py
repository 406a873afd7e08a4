"""`llamac verify`: compare the program of a plan with an independent reference."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
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
    help="Check the program in DIR, including your edits, instead of a spec.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the twin runs; cuda is not built yet.",
)
@click.option(
    "--fault",
    metavar="NAME",
    help="Seed this fault first, to see its report; an unknown name lists all.",
)
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
    """Run a small twin of the program and compare every number with a reference.

    Exit codes: 0 verified, 1 a difference or a hang, 2 could not run.
    """
    if (file is None) == (program is None):
        raise click.UsageError("name a FILE, or a directory with --program")
    if find_spec("torch") is None:
        raise click.UsageError("this runs the program, which needs torch: install llamac[torch]")
    from llamac.cli.report import compiled_plan
    from llamac.verify.entry import verify_directory, verify_plan
    from llamac.verify.errors import CannotVerify
    from llamac.verify.result import as_json as result_json
    from llamac.verify.result import as_text

    if device == "cuda":
        click.echo("error: a check on a GPU is not built yet; --device cpu runs anywhere", err=True)
        sys.exit(FAULT)
    try:
        if program is not None:
            result = verify_directory(program, fault)
        else:
            _, compiled = compiled_plan(file or "", plan, overrides)
            result = verify_plan(compiled, fault)
    except CannotVerify as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(FAULT)
    text = json.dumps(result_json(result), indent=2) if as_json else as_text(result)
    click.echo(text.rstrip("\n"))
    sys.exit(FINE if result.ok else FOUND)
