"""`llamac explain`: explain an error, or show where a number comes from."""

from __future__ import annotations

import sys

import click

from llamac.cli import options
from llamac.cli.exits import FAULT, FINE


@click.command()
@click.argument("subject", metavar="SLUG | FILE[:NAME]")
@click.argument("path", metavar="[PATH]", required=False)
@options.overrides
@options.as_json
def explain(subject: str, path: str | None, overrides: options.Overrides, as_json: bool) -> None:
    """Explain an error, or show where a number comes from.

    PATH is a field (tp, model.d_model), a figure (parameters, flops_per_token), or a stage of the
    compiler (model, plan, program). NAME is a plan, or a model that no plan uses.
    """
    if path is None:
        sys.exit(_slug(subject))
    from llamac.cli.explain_path import explain_path

    sys.exit(explain_path(subject, path, overrides, as_json))


def _slug(slug: str) -> int:
    from difflib import get_close_matches

    from llamac.explanations import explanations

    known = explanations()
    if slug in known:
        click.echo(f"{slug}\n\n{known[slug]}")
        return FINE
    near = get_close_matches(slug, known, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    click.echo(f"error: there is no error called `{slug}`{hint}", err=True)
    click.echo("to explain a number, add its path: llamac explain FILE PATH", err=True)
    return FAULT
