"""Which scripts a cluster gets. One node is started by hand, several by hand or by a scheduler."""

from __future__ import annotations

from typing import assert_never

from compiler.schema.cluster import ClusterSpec, LocalLaunch, SlurmLaunch
from dsl.schema import Auto


def slurm_of(cluster: ClusterSpec) -> SlurmLaunch | None:
    """How jobs go to Slurm, None where they do not. Several nodes seldom come without a scheduler,
    so left to us they get a script for one, with the site's own defaults."""
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
    """Whether nodes are tried before a run: where it may get others every time."""
    return cluster.nodes > 1 or slurm_of(cluster) is not None
