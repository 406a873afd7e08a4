"""What commands print: diagnostics in every format, and the ways in which a command ends early."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, assert_never

import click

from backends.pytorch.versions import NEWEST, TorchVersion
from compiler.pipeline import Compiled
from dsl.diagnostics import Diagnostic
from dsl.formats import JsonObject, to_github, to_json, to_sarif
from dsl.render import render
from dsl.source import Source
from llamac import api
from llamac.cli.exits import FAULT, FOUND
from llamac.cli.options import Format
from llamac.cli.terminal import counted, wants_colour

if TYPE_CHECKING:
    from llamac.output import Written


class Report:
    """The diagnostics of several files, without duplicates, in the order found."""

    def __init__(self) -> None:
        self._diagnostics: dict[Diagnostic, None] = {}
        self._sources: dict[str, Source] = {}

    def add(self, diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> None:
        self._diagnostics |= dict.fromkeys(diagnostics)
        self._sources |= sources

    @property
    def errors(self) -> int:
        return sum(diagnostic.is_error for diagnostic in self._diagnostics)

    def summary(self) -> str:
        """`2 errors, 1 warning`, or `no errors`."""
        warnings = len(self._diagnostics) - self.errors
        parts = [
            counted(number, noun)
            for number, noun in ((self.errors, "error"), (warnings, "warning"))
            if number
        ]
        return ", ".join(parts) or "no errors"

    def rendered(self, form: Format, stream: TextIO) -> str:
        return rendered(tuple(self._diagnostics), self._sources, form, wants_colour(stream))


def rendered(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, Source],
    form: Format = "text",
    colour: bool = False,
) -> str:
    match form:
        case "text":
            return render(diagnostics, sources, colour)
        case "json":
            found = diagnostics_json(diagnostics, sources)
            return json.dumps({"diagnostics": found}, indent=2) + "\n"
        case "sarif":
            return json.dumps(to_sarif(diagnostics, sources), indent=2) + "\n"
        case "github":
            return "".join(to_github(one, sources) + "\n" for one in diagnostics)
        case _:
            assert_never(form)


def diagnostics_json(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]
) -> list[JsonObject]:
    """`diagnostics[]` of every `--json`."""
    return [to_json(one, sources) for one in diagnostics]


def show(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source]) -> None:
    """Print diagnostics to stderr, as messages beside the results of the command."""
    text = rendered(diagnostics, sources, colour=wants_colour(sys.stderr))
    sys.stderr.write(text)


def one_plan(
    file: str, name: str | None, overrides: api.Overrides, *, as_json: bool = False
) -> api.Planned:
    """The plan called `name`, or the only one; if there is no such plan, report it and exit."""
    planned = api.plan_one(file, name, overrides)
    if isinstance(planned, api.NoSuchPlan):
        found, sources = planned.loaded.diagnostics, planned.loaded.sources
        if as_json:
            sys.stdout.write(rendered((*found, planned.diagnostic), sources, "json"))
        else:
            show((*found, planned.diagnostic), sources)
        # If the file has plans, the command line is wrong, otherwise the file.
        sys.exit(FAULT if planned.exists else FOUND)
    return planned


def compiled_plan(
    file: str, name: str | None, overrides: api.Overrides
) -> tuple[api.Planned, Compiled]:
    """A plan without errors, with its warnings shown; if it has errors, show them and exit."""
    planned = one_plan(file, name, overrides)
    show(planned.diagnostics, planned.sources)
    found = [result.compiled for result in planned.results.values()]
    if not found or found[0] is None:
        sys.exit(FOUND)
    return planned, found[0]


def write_program(
    planned: api.Planned,
    compiled: Compiled,
    target: Path,
    *,
    torch: TorchVersion = NEWEST,
    force: bool = False,
) -> Written:
    """Write the program of a plan; if the target was edited or is unusable, report it and exit."""
    from llamac.output import Edited, Refused, Written

    result = api.write(compiled, target, planned.origins, torch=torch, force=force)
    match result:
        case Written():
            return result
        case Edited(files=files):
            for file in files:
                sys.stdout.write(file.diff)
            names = ", ".join(file.name for file in files)
            click.echo(
                f"error: {target}: files were edited since they were written: {names}", err=True
            )
            click.echo(
                "nothing was written; --force overwrites them, keeping each as NAME.orig", err=True
            )
            sys.exit(FOUND)
        case Refused(reason=reason):
            click.echo(f"error: {target}: {reason}", err=True)
            sys.exit(FAULT)
        case _:
            assert_never(result)
