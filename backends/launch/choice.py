"""Chooses the scripts for a cluster: one node starts by hand, several by hand or by a scheduler."""

from __future__ import annotations

from typing import assert_never

from compiler.schema.cluster import ClusterSpec, LocalLaunch, SlurmLaunch
from dsl.schema import Auto


def slurm_of(cluster: ClusterSpec) -> SlurmLaunch | None:
    """How jobs are submitted to Slurm; None without Slurm. Several nodes rarely come without a
    scheduler, so by default they get a Slurm script with the defaults of the site."""
    match cluster.launch:
        case SlurmLaunch():
            return cluster.launch
        case LocalLaunch():
            return None
        case Auto():
            return SlurmLaunch() if cluster.nodes > 1 else None
        case _:
            assert_never(cluster.launch)


def has_preflight(cluster: ClusterSpec) -> bool:
    """Whether nodes are tested before a run, because it may get other nodes each time."""
    return cluster.nodes > 1 or slurm_of(cluster) is not None
