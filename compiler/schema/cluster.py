"""Rows of a `cluster` block: nodes, their accelerators, the fabric, where jobs go."""

from __future__ import annotations

from dsl.schema import AUTO, Auto, Dimension, Effect, Form, entry, row

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

    devices: int = row("processes per node", effect=MAPPING, default=1, minimum=1)


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
    """No scheduler: `launch/local.sh`, or `launch/multinode.sh` on each of several nodes."""


NAME = Form(
    "a name of at most 64 letters, digits, `.`, `_` and `-`, no `-` first", "A-Za-z0-9._-", 64
)
IMAGE = Form(
    "the path or address of an image, on one line",
    r"\x20-\x7e\xa0-\u2027\u202a-\U0010ffff",
    1024,
)


@entry("slurm")
class SlurmLaunch:
    """`sbatch launch/slurm.sbatch`. What is left out is the site's default, or given to sbatch."""

    account: str | None = row("account to charge", effect=OPERATION, default=None, form=NAME)
    partition: str | None = row("partition", effect=OPERATION, default=None, form=NAME)
    qos: str | None = row("quality of service", effect=OPERATION, default=None, form=NAME)
    constraint: str | None = row("feature of nodes", effect=OPERATION, default=None, form=NAME)
    reservation: str | None = row("reservation", effect=OPERATION, default=None, form=NAME)
    time: float | None = row(
        "limit of one job; the run goes on in the next",
        effect=OPERATION,
        dimension=Dimension.SECONDS,
        default=None,
        minimum=60,
    )
    checkpoint_budget: float = row(
        "how long before the limit the run is asked to save and leave",
        effect=OPERATION,
        dimension=Dimension.SECONDS,
        default=300.0,
        minimum=1,
        below=65_536,  # sbatch --signal counts in 16 bits
    )
    container: str | None = row(
        "image to run in, for Slurm with pyxis", effect=OPERATION, default=None, form=IMAGE
    )
    max_retries: int = row(
        "failures in a row without a new checkpoint that are tried again",
        effect=OPERATION,
        default=3,
        minimum=0,
    )


Launch = LocalLaunch | SlurmLaunch


@entry("cluster")
class ClusterSpec:
    nodes: int = row("machines", effect=MAPPING, default=1, minimum=1)
    node: Node = row("what a machine holds", effect=MAPPING)
    fabric: Fabric | None = row("network between nodes", effect=MAPPING, default=None)
    launch: Launch | Auto = row(
        "where jobs go; left to the compiler, several nodes get a script for Slurm too",
        effect=OPERATION,
        default=AUTO,
    )
