"""Whether jobs can be launched as the cluster says."""

from __future__ import annotations

from compiler.planner.context import Context
from compiler.problems.run import NoTimeToTrain
from compiler.schema.cluster import SlurmLaunch

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
            )
        )
