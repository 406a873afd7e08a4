"""Whether jobs can be launched as the cluster says."""

from __future__ import annotations

import math

from compiler.planner.choices import as_suggestion
from compiler.planner.context import Context
from compiler.problems.run import NoTimeToTrain
from compiler.schema.cluster import SlurmLaunch
from dsl.diagnostics import Suggestion

EARLY = 60  # seconds that Slurm may be ahead with a signal: it looks at jobs once a minute


def check_launch(context: Context) -> None:
    """A job must have time between its start and the signal to save."""
    launch = context.spec.cluster.launch
    if not isinstance(launch, SlurmLaunch) or launch.time is None:
        return
    if launch.time <= launch.checkpoint_budget + EARLY:
        context.problem(
            NoTimeToTrain(
                span=context.span("cluster.launch.time"),
                time=launch.time,
                budget=launch.checkpoint_budget,
                early=EARLY,
                choices=_choices(context, launch.time, launch.checkpoint_budget),
            )
        )


def _choices(context: Context, time: float, budget: float) -> tuple[Suggestion, ...]:
    """Ten times what saving takes, or half of the time for saving."""
    hours, shorter = math.ceil(10 * (budget + EARLY) / 3600), math.floor(time / 2) - EARLY
    rows = [{"cluster.launch.time": f"{hours}h"}]
    if shorter > 0:
        rows.append({"cluster.launch.checkpoint_budget": f"{shorter}s"})
    return tuple(as_suggestion(context, row) for row in rows)
