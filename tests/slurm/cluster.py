"""A Slurm of two nodes on this machine: its daemons, started for a test and ended with it.

Everything lies in one folder and listens on free ports; nothing of the machine is changed. Node
names are numbers that resolve by themselves, as 127.0.0.1 and 127.0.0.2 do, so that the scripts
find the first node by its name without an entry in /etc/hosts.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
PROGRAMS = ("munged", "slurmctld", "slurmd", *COMMANDS)
INSTALL = "apt-get install -y --no-install-recommends slurm-wlm munge"
NODES = {"0x7f000001": "127.0.0.1", "0x7f000002": "127.0.0.2"}
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian puts daemons
CONFIGURATION = """
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
GresTypes=gpu
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs=16 Gres=gpu:h100:8\n"
)
PARTITION = "PartitionName=train Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP\n"


class Missing(Exception):
    """Slurm is not installed; the message says what to install."""


@dataclass
class Cluster:
    """Slurm's commands, called in a folder."""

    environment: dict[str, str]

    def call(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def submit(self, cwd: Path, *arguments: str, **variables: str) -> str:
        """The number of the job."""
        given = Cluster({**self.environment, **variables})
        done = given.call("sbatch", "--parsable", *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """`PENDING BeginTime` and the like; nothing once the job has left the queue."""
        return self.call("squeue", "--noheader", "--format=%T %r", f"--jobs={job}").stdout.strip()

    def facts(self, job: str) -> dict[str, str]:
        """What Slurm remembers of a job: JobState, Restarts, ExitCode, ..."""
        told = self.call("scontrol", "show", "job", job).stdout.split()
        return dict(word.split("=", 1) for word in told if "=" in word)

    def wait(self, job: str, seconds: float = 420) -> dict[str, str]:
        """Until the job has left the queue. Slurm lets a job that comes back wait two minutes;
        here it may start at once."""
        until = time.monotonic() + seconds
        while state := self.state(job):
            assert time.monotonic() < until, f"job {job} is still {state}"
            if "BeginTime" in state:
                self.call("scontrol", "update", f"JobId={job}", "StartTime=now")
            time.sleep(0.5)
        return self.facts(job)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Two nodes with eight pretended GPUs each; gone with all jobs when the block ends."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if absent:
        raise Missing(f"no {', '.join(absent)} on this machine: install Slurm ({INSTALL})")
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    environment["PYTHON"] = sys.executable
    made = Cluster(environment)
    configure(folder)
    with contextlib.ExitStack() as daemons:

        def start(*command: str) -> None:
            name = "-".join(Path(word).name for word in command[:4] if not word.startswith("-"))
            with (folder / f"{name}.log").open("w") as log:
                process = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=log, cwd=folder
                )
            daemons.callback(end, process)

        munge = [f"--{word}={folder}/munge.{word}" for word in ("socket", "pid-file", "seed-file")]
        key = f"--key-file={folder}/munge.key"
        start("munged", "--foreground", "--force", key, f"--log-file={folder}/munge.log", *munge)
        until(lambda: (folder / "munge.socket").exists(), "munged")
        start("slurmctld", "-D")
        for node in NODES:
            start("slurmd", "-D", "-N", node)
        until(lambda: made.call("sinfo", "-h", "-t", "idle", "-o", "%D").stdout == "2\n", "Slurm")
        try:
            yield made
        finally:
            made.call("scancel", "--user", getpass.getuser())
            until(lambda: made.call("squeue", "--noheader").stdout == "", "scancel")


def configure(folder: Path) -> None:
    with contextlib.ExitStack() as sockets:
        ports: list[int] = []
        for _ in range(3):
            probe = sockets.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    host, user = socket.gethostname(), getpass.getuser()
    text = CONFIGURATION.format(host=host, ports=ports, user=user, folder=folder)
    for (name, address), port in zip(NODES.items(), ports[1:], strict=True):
        text += NODE.format(name=name, host=host, address=address, port=port)
        (folder / f"spool-{name}").mkdir()
    (folder / "slurm.conf").write_text(text + PARTITION)
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for i in range(8):
        (folder / f"gpu{i}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu Type=h100 File={folder}/gpu[0-7]\n")


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} is not ready after {seconds} s"
        time.sleep(0.1)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
