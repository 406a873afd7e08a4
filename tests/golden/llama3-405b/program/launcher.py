"""What a launcher tells this process: its rank among the others, and where they meet.

Imports nothing but Python's own, so that a mistake is reported before anything is waited for.
"""

import os

import config

WORLD = config.DP * config.PP * config.TP
VARIABLES = "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"


def launch_problem() -> str:
    """What is wrong with the environment, and what to set; empty where nothing is."""
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        return f"set {', '.join(missing)}, or use a script of launch/"
    values = {name: os.environ[name] for name in VARIABLES if name != "MASTER_ADDR"}
    for name, value in values.items():
        if not (value.isascii() and value.isdecimal() and len(value) < 10):
            return f"{name}={value!r} is not a whole number"
    rank, local_rank, world, port = map(int, values.values())
    if world != WORLD:
        return f"this program runs on {WORLD} processes, not {world}"
    if rank >= world:
        return f"RANK={rank} is too large: {world} processes have ranks 0 to {world - 1}"
    if local_rank > rank:
        return f"LOCAL_RANK={local_rank} is larger than RANK={rank}"
    if port > 65535 or (port == 0 and world > 1):
        return f"MASTER_PORT={port} is not a port: it is 1 to 65535"
    return ""
