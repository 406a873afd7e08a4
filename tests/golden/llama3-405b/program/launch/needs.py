"""Can the program start here? Checks its packages, and the environment of a process or a node.

Every launch script runs this first, before anything is waited for. It prints what is wrong in one
line. Exit codes: 0 nothing is wrong; 1 the port is in use; 78 (WRONG) anything else.
"""

import os
import platform
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.dont_write_bytecode = True
import config
from launcher import WRONG, launch_problem

PORT_IN_USE = 1  # a failure like others: another try may find the port free
NAMES = ["torch", "numpy", "safetensors"]
DEVICES = 8


def missing_packages() -> str:
    absent = [name for name in NAMES if find_spec(name) is None]
    where = f"{platform.node()}, {sys.executable}"
    return f"not installed on {where}: {', '.join(absent)}" if absent else ""


def hidden_devices() -> str:
    """Whether fewer GPUs are visible than a node's processes use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if config.DEVICE != "cuda" or visible is None:
        return ""
    seen = len([word for word in visible.split(",") if word.strip()])
    if seen >= DEVICES:
        return ""
    return f"CUDA_VISIBLE_DEVICES={visible!r} shows {seen} of {DEVICES} GPUs; unset it"


def misplaced() -> str:
    """Whether ranks are placed on nodes in another order than the program assumes."""
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if local_rank == rank % DEVICES:
        return ""
    wanted = f"LOCAL_RANK={rank % DEVICES}, not {local_rank}"
    return f"{DEVICES} processes per node, numbered node by node: RANK={rank} needs {wanted}"


def port_in_use() -> str:
    """Whether the first node can serve the port at which processes meet."""
    port = os.environ.get("MASTER_PORT", "")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port or 0)))
        except OSError as error:
            return f"MASTER_PORT={port} cannot be used on {platform.node()}: {error.strerror}"
    return ""


def problems() -> Iterator[tuple[str, bool, int]]:
    """(what is wrong, whether this process prints it, exit code); once per node, or once in all."""
    rank, first_of_node = os.environ.get("RANK"), os.environ.get("LOCAL_RANK", "0") == "0"
    yield missing_packages(), first_of_node, WRONG
    yield hidden_devices(), first_of_node, WRONG
    if rank is not None:
        yield launch_problem(), rank == "0" or not rank.isdecimal(), WRONG
        yield misplaced(), int(rank) <= DEVICES, WRONG
    if rank == "0" or (rank is None and os.environ.get("NODE_RANK") == "0"):
        yield port_in_use(), True, PORT_IN_USE


for problem, speaks, code in problems():
    if problem:
        if speaks:
            print(f"error: {problem}", file=sys.stderr)
        sys.exit(code)
