"""A Slurm of two nodes on this machine: its daemons, started for a test and ended with it.

Everything lies in one folder and listens on free ports; nothing of the machine is changed. Node
names are numbers that resolve by themselves, as 127.0.0.1 and 127.0.0.2 do, so that the scripts
find the first node by its name without an entry in /etc/hosts.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
PATIENCE = 600  # seconds for what takes one or two where nobody else is at work
AT_WORK = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "STOPPED"}
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
FirstJobId={first}
MinJobAge=86400
MessageTimeout=100
TCPTimeout=60
BatchStartTimeout=600
UnkillableStepTimeout=600
SlurmdTimeout=0
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
            timeout=PATIENCE,
            check=False,
        )

    def submit(self, cwd: Path, *arguments: str, **variables: str) -> str:
        """The number of the job."""
        given = Cluster({**self.environment, **variables})
        done = given.call("sbatch", "--parsable", *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def facts(self, job: str) -> dict[str, str]:
        """What Slurm remembers of a job: JobState, Restarts, ExitCode, ..."""
        done = self.call("scontrol", "show", "job", job)
        assert done.returncode == 0, done.stderr
        return dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)

    def ended(self, job: str) -> bool:
        """Slurm lets a job that comes back wait two minutes; here a moment is enough. Not none: in
        the second in which it left, its nodes still refuse it ("Job credential revoked")."""
        facts = self.facts(job)
        if (facts["JobState"], facts["Reason"]) == ("PENDING", "BeginTime"):
            time.sleep(3)
            self.call("scontrol", "update", f"JobId={job}", "StartTime=now")
        return facts["JobState"] not in AT_WORK

    def wait(self, job: str) -> dict[str, str]:
        """What Slurm remembers of a job, once it has ended."""
        until(lambda: self.ended(job), f"job {job}", 3 * PATIENCE)
        return self.facts(job)


@contextlib.contextmanager
def cluster(folder: Path) -> Generator[Cluster]:
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
    first = random.randrange(1, 10**6)  # ports go by it, and two such clusters may be at work
    text = CONFIGURATION.format(host=host, ports=ports, user=user, folder=folder, first=first)
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


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} is not ready after {seconds} s"
        time.sleep(0.5)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
