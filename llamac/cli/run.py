"""`llamac run`: compile a plan and start it on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from llamac.cli import options
from llamac.cli.exits import FINE, FOUND
from llamac.cli.terminal import counted


@click.command(context_settings={"ignore_unknown_options": False})
@options.spec_and_plan
@options.output
@click.option("--steps", type=click.IntRange(min=1), help="Stop after this many steps.")
@click.option("--run", "folder", metavar="DIR", help="Directory of the run; default: runs/PLAN.")
@click.option(
    "--resume", metavar="auto|never|DIR", help="Checkpoint to resume from; default: auto."
)
@click.option(
    "--accept",
    metavar="PATH,...",
    help="Settings, by path, that may differ from those of the checkpoint.",
)
@click.option(
    "--data",
    metavar="PATH",
    help="File or folder to train on instead of the spec's; validation data stays the spec's.",
)
@click.option("--profile", metavar="FIRST:LAST", help="Trace these steps into the run's profile/.")
def run(
    file: str,
    plan: str | None,
    overrides: options.Overrides,
    output: Path | None,
    steps: int | None,
    folder: str | None,
    resume: str | None,
    accept: str | None,
    data: str | None,
    profile: str | None,
) -> None:
    """Compile a plan and start it on this machine, one process per device.

    Refuses a plan whose processes do not fit on this machine. The exit code is the program's: 0
    trained to the end, 75 stopped with a checkpoint, 78 wrong data or configuration.
    """
    from llamac import api
    from llamac.cli.preparing import prepare_if_needed
    from llamac.cli.report import compiled_plan, show, write_program
    from llamac.launch import start, why_not_here

    planned, compiled = compiled_plan(file, plan, overrides)
    problem = why_not_here(compiled.plan, planned.origins)
    if problem is not None:
        show((problem,), planned.sources)
        sys.exit(FOUND)
    if data is None:
        prepare_if_needed(planned, compiled)
    target = output or Path("out", compiled.plan.name)
    processes = counted(compiled.plan.main.mesh.world, "process", "processes")
    parts = api.places(compiled, target)
    first, final = (profile or "").partition(":")[0], parts[-1][1].plan.phases[-1].last_step
    begins = min(int(first), final) if first.isdecimal() else 0  # which program has that step
    for place, part in parts:
        if steps is not None and steps <= part.plan.phases[0].before.steps:
            break
        write_program(planned, part, place)
        click.echo(f"{place}: compiled; starting {processes}", err=True)
        last = None if steps is None else min(steps, part.plan.phases[-1].last_step)
        given = {
            "--steps": last,
            "--run": folder,
            "--resume": resume,
            "--accept": accept,
            "--data": data,
            "--profile": None if part.plan.phases[-1].last_step < begins else profile,
        }
        words = [
            word
            for name, value in given.items()
            if value is not None
            for word in (name, str(value))
        ]
        code = start(place, words)
        if code != FINE:
            sys.exit(code)
        resume = None  # the next program goes on where this one stopped
    sys.exit(FINE)
