"""`llamac plan`: the layout of a plan, with the reason for each value."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND

if TYPE_CHECKING:
    from llamac import api


@click.command()
@options.spec_and_plan
@options.as_json
def plan(file: str, plan: str | None, overrides: options.Overrides, as_json: bool) -> None:
    """Show the layout of a plan, with the reason for each value.

    Without PLAN, show every plan of the file.
    """
    from llamac import api
    from llamac.cli.report import one_plan, show
    from llamac.plan_view import as_text

    planned = api.plan(file, overrides)
    if plan is not None or (planned.ok and not planned.results):
        planned = one_plan(file, plan, overrides, as_json=as_json)
    if as_json:
        found = _objects(planned)
        click.echo(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    else:
        show(planned.diagnostics, planned.sources)
        compiled = (result.compiled for result in planned.results.values())
        click.echo("\n".join(as_text(view) for view in compiled if view is not None), nl=False)
    sys.exit(FINE if planned.ok else FOUND)


def _objects(planned: api.Planned) -> list[dict[str, object]]:
    """One object per plan, with its diagnostics; if the file has errors, one object with those."""
    from llamac.cli.report import diagnostics_json
    from llamac.plan_view import as_json

    of_file = planned.loaded.diagnostics
    if not planned.results:
        return [{"diagnostics": diagnostics_json(of_file, planned.sources)}]
    return [
        {
            "plan": name,
            **(as_json(result.compiled) if result.compiled is not None else {}),
            "diagnostics": diagnostics_json((*of_file, *result.diagnostics), planned.sources),
        }
        for name, result in planned.results.items()
    ]
