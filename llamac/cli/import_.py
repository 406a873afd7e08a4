"""`llamac import`: write the spec of a Hugging Face model from its config.json."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llamac.cli.exits import FAULT, FINE, FOUND


@click.command("import")
@click.argument("config", metavar="CONFIG", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to create; default: stdout.",
)
@click.option(
    "--name", metavar="NAME", default="", help="Name of the model; default: that of its folder."
)
@click.option("--ignore", metavar="KEY", multiple=True, help="Ignore this key of config.json.")
def import_(config: Path, output: Path | None, name: str, ignore: tuple[str, ...]) -> None:
    """Print the model of a Hugging Face config.json, or of the folder that holds one, as a spec.

    If a key has no equivalent in a spec, the command reports it, writes nothing and exits with 1.
    To load the weights of the folder, write `init_from = "DIR"` in a train block.
    """
    from llamac.cli.report import show
    from llamac.files import write_new
    from llamac.huggingface.config import import_config, is_name

    if name and not is_name(name):
        raise click.BadParameter(f"`{name}` is not a name; write something like `llama_8b`")
    imported = import_config(config, name, frozenset(ignore))
    if imported.diagnostics:
        show(imported.diagnostics, {imported.source.path: imported.source})
        sys.exit(FOUND)
    if output is None or str(output) == "-":
        sys.stdout.write(imported.text)
    elif not write_new(output, imported.text):
        click.echo(f"error: {output} already exists", err=True)
        sys.exit(FAULT)
    else:
        click.echo(f"{output}: written", err=True)
    sys.exit(FINE)
