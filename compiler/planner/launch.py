"""Whether jobs can be launched as the cluster says."""

from __future__ import annotations

from compiler.planner.context import Context
from compiler.problems import Contradiction, NoTimeToTrain
from compiler.schema.cluster import SlurmLaunch

EARLY = 60  # seconds that Slurm may be ahead with a signal: it looks at jobs once a minute
LARGEST_BUDGET = 65_535  # seconds: sbatch(1), --signal


def check_launch(context: Context) -> None:
    """A job must have time between its start and the signal to save."""
    launch, budget = context.spec.cluster.launch, "cluster.launch.checkpoint_budget"
    if not isinstance(launch, SlurmLaunch):
        return
    if launch.checkpoint_budget > LARGEST_BUDGET:
        why = f"at most {LARGEST_BUDGET:,} s before the limit: `sbatch --signal` takes no more"
        what = f"Slurm cannot tell a job {launch.checkpoint_budget:,.0f} s ahead"
        choices = ("checkpoint_budget = 300s",)
        problem = Contradiction(span=context.span(budget), what=what, why=why, choices=choices)
        context.problem(problem)
    elif launch.time is not None and launch.time <= launch.checkpoint_budget + EARLY:
        context.problem(
            NoTimeToTrain(
                span=context.span("cluster.launch.time"),
                time=launch.time,
                budget=launch.checkpoint_budget,
                early=EARLY,
            )
        )
