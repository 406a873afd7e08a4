"""What a launcher tells this process, and the exit codes by which the process answers.

Imports only the standard library, so that a mistake is reported before anything is waited for.
"""

import os

import config

WORLD = config.DP * config.PP * config.TP
# Exit codes beside 0: trained to the end, and 1: failed in another way.
NOT_FINITE = 65  # gradients were not finite for several steps in a row
HUNG = 69  # no progress for too long
NOT_SAVED = 74  # the last checkpoint could not be written
STOPPED = 75  # saved after a signal: start again to continue
WRONG = 78  # the configuration or the data: starting again will not help

VARIABLES = "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"


def launch_problem() -> str:
    """What is wrong with the environment and what to set, or an empty string."""
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
