"""Rows of a `cluster` block: nodes, their accelerators, the fabric, where jobs go."""

from __future__ import annotations

from dsl.schema import Dimension, Effect, entry, row

OPERATION = Effect.OPERATION
MAPPING = Effect.MAPPING


@entry("accelerator")
class Accelerator:
    name: str = row("product name", effect=OPERATION)
    memory: float = row("device memory", effect=MAPPING, dimension=Dimension.BYTES, above=0)
    memory_bandwidth: float = row(
        "device memory bandwidth", effect=MAPPING, dimension=Dimension.BYTES_PER_SECOND, above=0
    )
    bf16: float = row("dense bf16 peak", effect=MAPPING, dimension=Dimension.FLOPS, above=0)
    fp8: float | None = row(
        "dense fp8 peak", effect=MAPPING, dimension=Dimension.FLOPS, default=None, above=0
    )
    power: float = row("board power", effect=OPERATION, dimension=Dimension.WATTS, above=0)
    source: str = row("where the figures stand", effect=OPERATION)


@entry("gpus")
class GpuNode:
    accelerator: Accelerator = row("what computes", effect=MAPPING)
    devices: int = row("accelerators a node", effect=MAPPING, default=8, minimum=1)
    link: float = row(
        "bandwidth between accelerators of a node, one direction",
        effect=MAPPING,
        dimension=Dimension.BYTES_PER_SECOND,
        above=0,
    )


@entry("cpu")
class CpuNode:
    """Processes on CPU, gloo between them: laptops and tests."""

    devices: int = row("processes a node", effect=MAPPING, default=1, minimum=1)


Node = GpuNode | CpuNode


@entry("roce")
class Roce:
    bandwidth: float = row(
        "rate of one accelerator's NIC",
        effect=MAPPING,
        dimension=Dimension.BYTES_PER_SECOND,
        above=0,
    )
    pod: int | None = row(
        "accelerators with full bisection", effect=MAPPING, words=("gpus",), default=None, minimum=1
    )
    oversubscription: float = row("1:n between pods", effect=MAPPING, default=1.0, minimum=1)


@entry("infiniband")
class Infiniband(Roce):
    """Same rows as roce."""


Fabric = Roce | Infiniband


@entry("local")
class LocalLaunch:
    """One node, started by `launch/local.sh`."""


@entry("slurm")
class SlurmLaunch:
    account: str = row("account to charge", effect=OPERATION, default="")
    partition: str = row("partition", effect=OPERATION, default="")


Launch = LocalLaunch | SlurmLaunch


@entry("cluster")
class ClusterSpec:
    nodes: int = row("machines", effect=MAPPING, default=1, minimum=1)
    node: Node = row("what a machine holds", effect=MAPPING)
    fabric: Fabric | None = row("network between nodes", effect=MAPPING, default=None)
    launch: Launch = row("where jobs go", effect=OPERATION, default=LocalLaunch(), pending=True)
