"""Scripts of a plan's program: text by path, from templates and quoted values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backends.launch.choice import has_preflight, slurm_of
from backends.launch.quoting import quoted
from backends.python.templates import render
from compiler.plan import Plan
from compiler.schema.cluster import ClusterSpec, GpuNode, SlurmLaunch
from compiler.schema.train import LogSpec

PACKAGE = "backends.launch"


@dataclass(frozen=True)
class Scripts:
    """Text of every file by its path in the output directory; `executable` are to be run."""

    files: Mapping[str, str]
    executable: frozenset[str]


def scripts(plan: Plan) -> Scripts:
    """What starts the program of `plan`."""
    cluster = plan.spec.cluster
    values = {
        "cuda": isinstance(cluster.node, GpuNode),
        "nodes": cluster.nodes,
        "devices": cluster.node.devices,
        "packages": [*_packages(plan.spec.train.log)],
    }
    names = ["multinode.sh"] if cluster.nodes > 1 else ["local.sh"]
    names.append("needs.py")
    slurm = slurm_of(cluster)
    if slurm is not None:
        names += ["slurm.sbatch", "slurm-task.sh"]
        values |= _slurm(slurm, plan)
    executable = frozenset(f"launch/{name}" for name in names if name.endswith(".sh"))
    names += ["preflight.py", "verdict.py"] if has_preflight(cluster) else []
    files = {f"launch/{name}": render(PACKAGE, f"{name}.j2", values) for name in names}
    return Scripts(files, executable)


def _packages(log: LogSpec) -> Iterator[str]:
    """What the program imports that Python does not bring."""
    yield from ("torch", "numpy", "safetensors")
    if log.tensorboard:
        yield "tensorboard"
    if log.wandb is not None:
        yield "wandb"


def _slurm(slurm: SlurmLaunch, plan: Plan) -> dict[str, object]:
    return {
        "options": tuple(_options(slurm, plan.name, plan.spec.cluster)),
        "max_retries": slurm.max_retries,
        "image": quoted(slurm.container or ""),
        "run": quoted(f"runs/{plan.name}"),
    }


def _options(slurm: SlurmLaunch, name: str, cluster: ClusterSpec) -> Iterator[str]:
    """Lines after `#SBATCH`. The schema holds their texts to names, so each is one option."""
    yield f"--job-name={name}"
    for option in ("account", "partition", "qos", "constraint", "reservation"):
        value: str | None = getattr(slurm, option)
        if value is not None:
            yield f"--{option}={value}"
    yield f"--nodes={cluster.nodes}"
    yield f"--ntasks-per-node={cluster.node.devices}"
    if isinstance(cluster.node, GpuNode):
        yield f"--gpus-per-node={cluster.node.devices}"
    yield from ("--exclusive", "--mem=0")
    if slurm.time is not None:
        yield f"--time={clock(slurm.time)}"
    yield f"--signal=B:USR2@{math.ceil(slurm.checkpoint_budget)}"
    yield from ("--requeue", "--open-mode=append", "--output=%x-%j.out")


def clock(seconds: float) -> str:
    """A time as Slurm writes it: days-hours:minutes:seconds."""
    minutes, s = divmod(math.ceil(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days}-{h:02}:{m:02}:{s:02}"
