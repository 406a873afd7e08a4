"""A desk to submit jobs from: small stand-ins for Slurm's commands, and a program run by bash."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

COMMANDS = {
    # The processes of a step, one after the other; what it was called with, for the tests.
    "srun": """
        printf '%s\\n' "$*" >>"$WORLD/srun"
        while [[ $1 != bash ]]; do shift; done
        worst=0
        trap 'signalled=yes; for each in $(jobs -p); do kill -s USR2 -- "-$each"; done' USR2
        tasks=${TASKS-4}
        for ((rank = 0; rank < tasks; rank++)); do
            local=$((rank % ${PER_NODE-2}))
            SLURM_PROCID=$rank SLURM_LOCALID=$local SLURM_NTASKS=$tasks setsid "$@" &
            children+=($!)
        done
        for child in "${children[@]}"; do
            signalled=yes  # then a wait may have told of the signal, and not of the child
            while [[ -n $signalled ]]; do signalled=; wait "$child"; code=$?; done
            ((code > worst)) && worst=$code
        done
        exit "$worst"
    """,
    "scontrol": """
        case "$1 $2" in
        'show job') printf '   JobId=%s\\n   Command=%s a b\\n' "$3" "$SCRIPT" ;;
        'show hostnames') printf '%s' "${HOSTS-node1
node2
}" ;;
        requeue*) echo "$2" >>"$WORLD/requeued" ;;
        *) exit 1 ;;
        esac
    """,
    "squeue": """
        case "$*" in
        *--states=RUNNING*) printf '%s\\n' 77 ${OTHERS-} ;;
        *) echo "${STATE-RUNNING}" ;;
        esac
    """,
}


@dataclass
class Desk:
    """A folder to submit from, with a program of which bash is the interpreter."""

    folder: Path
    program: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "main"

    def does(self, train: str, preflight: str = "exit 0", needs: str = "exit 0") -> None:
        """What every process of the step does, in bash."""
        (self.program / "train.py").write_text(train)
        (self.program / "launch" / "needs.py").write_text(needs)
        (self.program / "launch" / "preflight.py").write_text(preflight)

    def command(self, *arguments: str) -> list[str]:
        copy = self.folder / "slurm_script"  # Slurm too runs a copy
        copy.write_text((self.program / "launch" / "slurm.sbatch").read_text())
        return ["bash", str(copy), *arguments]

    def variables(self, **changes: str) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHON": "bash",
            "WORLD": str(self.folder),
            "RUN": str(self.run),
            "SCRIPT": str(self.program / "launch" / "slurm.sbatch"),
            "SLURM_JOB_ID": "77",
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_CPUS_ON_NODE": "8",
            **changes,
        }

    def submit(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.variables(**changes),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []
