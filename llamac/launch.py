"""Start a compiled program on this machine, through the script it brings along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from compiler.plan import Plan
from compiler.schema.cluster import CpuNode, GpuNode
from dsl.diagnostics import Diagnostic
from dsl.spec import Origins
from llamac.problems.machine import WorldDoesNotFit

PROCESSES_PER_CORE = 8

PASSED_ON: Mapping[int, signal.Signals] = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
    signal.SIGUSR1: signal.SIGTERM,
    signal.SIGUSR2: signal.SIGUSR2,
}
"""What a program gets for what we get: nothing may end us and leave it at work."""


def why_not_here(plan: Plan, origins: Origins) -> Diagnostic | None:
    """What to say where this machine cannot hold the plan's processes; None where it can."""
    cluster = plan.spec.cluster
    world = plan.main.mesh.world
    node = cluster.node
    if cluster.nodes > 1:
        path, wanted, present = "cluster.nodes", f"{cluster.nodes:,} nodes", "one"
    else:
        path = "cluster.node"
        match node:
            case CpuNode():
                cores = os.cpu_count() or 1
                room = cores * PROCESSES_PER_CORE
                wanted = f"{node.devices:,} processes on CPU"
                present = f"{cores} cores: room for {room}"
            case GpuNode():
                room = accelerators()
                wanted, present = f"{node.devices} GPUs", str(room) if room else "none"
        if node.devices <= room:
            return None
    span = origins.span(plan.name, path)
    return WorldDoesNotFit(span=span, world=world, wanted=wanted, present=present).diagnostic()


def accelerators() -> int:
    """GPUs that torch sees here. Imports torch."""
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return 0 if accelerator is None else torch.accelerator.device_count()


def start(program: Path, arguments: Sequence[str]) -> int:
    """Run `launch/local.sh` in the current directory and return its exit code.

    The script starts one process per device with this Python. What a signal means is the program's
    to say (it checkpoints and leaves): it is passed on, an interrupt or a lost terminal as SIGTERM.
    Where those have reached every process of the group already, once more does no harm.
    """
    environment = {**os.environ, "PYTHON": sys.executable}
    script = program / "launch" / "local.sh"
    started: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        asked.append(PASSED_ON[number])
        for process in started:
            process.send_signal(PASSED_ON[number])

    # Installed first: a handler, unlike an ignored signal, does not outlive exec in the child.
    names = [name for name in PASSED_ON if signal.getsignal(name) != signal.SIG_IGN]
    before = {name: signal.signal(name, pass_on) for name in names}
    try:
        command = ["bash", "--", os.fspath(script), *arguments]
        with subprocess.Popen(command, env=environment) as process:
            started.append(process)
            for number in {*asked}:  # while it was being started
                process.send_signal(number)
            code = process.wait()
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    return code if code >= 0 else 128 - code
