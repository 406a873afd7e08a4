"""What programs use of wandb, for type checkers; a run's calls go into $WANDB_CALLS, a line each.

Names and arguments are those of wandb 0.20 and later.
"""

import json
import os
from collections.abc import Mapping


class Run:
    def log(self, data: Mapping[str, float], step: int) -> None:
        record("log", {"data": dict(data), "step": step})


def init(project: str, dir: os.PathLike[str], name: str, id: str, resume: str) -> Run:
    record("init", {"project": project, "name": name, "id": id, "resume": resume})
    return Run()


def record(what: str, arguments: Mapping[str, object]) -> None:
    with open(os.environ["WANDB_CALLS"], "a") as file:
        file.write(json.dumps([what, arguments]) + "\n")
