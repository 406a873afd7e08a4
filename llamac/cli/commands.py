"""`llamac`: the commands, and what happens to whatever they raise."""

from __future__ import annotations

import traceback

import click

from llamac import __version__
from llamac.cli.check import check
from llamac.cli.compile import compile_
from llamac.cli.dryrun import dryrun
from llamac.cli.exits import FAULT, INTERRUPTED
from llamac.cli.explain import explain
from llamac.cli.export import export
from llamac.cli.import_ import import_
from llamac.cli.plan import plan
from llamac.cli.prepare import prepare
from llamac.cli.run import run
from llamac.cli.verify import verify

OUR_FAULT = "error: this is a bug in llamac, not in your spec; please report it"

COMMANDS = (check, plan, explain, compile_, prepare, run, verify, dryrun, import_, export)


class InOrder(click.Group):
    """Lists the commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Compile the spec of a training run to a readable PyTorch program, and verify it."""


for command in COMMANDS:
    cli.add_command(command)


def run_command() -> None:
    """Run the command line. Never returns: it exits with the code of the command's outcome."""
    try:
        cli(prog_name="llamac")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        raise SystemExit(FAULT) from error
    except Exception as error:
        from compiler.internal_error import InternalError  # a command that succeeds does without

        if isinstance(error, InternalError):
            click.echo(f"internal error: {error}", err=True)
        else:
            traceback.print_exc()
        click.echo(OUR_FAULT, err=True)
        raise SystemExit(FAULT) from error
