"""`llamac plan`: the chosen layout, with reasons."""

from __future__ import annotations

import sys

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND


@click.command()
@options.spec_and_plan
@options.as_json
def plan(file: str, plan: str | None, overrides: options.Overrides, as_json: bool) -> None:
    """The chosen layout of each plan, with reasons.

    Without PLAN, every plan of the file.
    """
    from llamac import api
    from llamac.cli.report import diagnostics_json, one_plan, show
    from llamac.plan_view import as_json as plan_json
    from llamac.plan_view import as_text

    if plan is None:
        planned = api.plan(file, overrides)
    else:
        planned = one_plan(file, plan, overrides)
    compiled = [result.compiled for result in planned.results.values()]
    views = [view for view in compiled if view is not None]
    if as_json:
        found = diagnostics_json(planned.diagnostics, planned.sources)
        objects = [{**plan_json(view), "diagnostics": found} for view in views]
        if len(planned.results) <= 1:
            text = objects[0] if objects else {"diagnostics": found}
        else:
            text = objects
        import json

        click.echo(json.dumps(text, indent=2))
    else:
        show(planned.diagnostics, planned.sources)
        click.echo("\n".join(as_text(view) for view in views), nl=False)
    sys.exit(FINE if planned.ok else FOUND)
