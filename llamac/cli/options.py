"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from backends.pytorch.versions import NEWEST, VERSIONS

Command = TypeVar("Command", bound=Callable[..., Any])
Overrides = tuple[tuple[str, str], ...]
Format = Literal["text", "json", "sarif", "github"]


def _split(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> Overrides:
    pairs: list[tuple[str, str]] = []
    for value in values:
        path, equals, text = value.partition("=")
        if not equals or not path.strip() or not text.strip():
            raise click.BadParameter(f"`{value}` is not of the form PATH=VALUE, such as tp=4")
        pairs.append((path.strip(), text.strip()))
    return tuple(pairs)


file = click.argument("file", metavar="FILE")
plan = click.argument("plan", metavar="[PLAN]", required=False)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    callback=_split,
    help="Set a field of the plan, such as tp=4 or train.seq_len=8Ki.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
output = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the program; default: out/PLAN.",
)
torch = click.option(
    "--torch",
    type=click.Choice([*VERSIONS]),
    default=NEWEST,
    show_default=True,
    help="The version of torch to write the program for.",
)


def spec_and_plan(command: Command) -> Command:
    """FILE [PLAN] --set PATH=VALUE."""
    return file(plan(overrides(command)))
