"""What slurm.sbatch decides, with small stand-ins for Slurm's commands and for the program.

`tests/slurm/` runs the same script under Slurm itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.launch.desk import Desk
from tests.launch.specs import program


def test_a_run_to_the_end(desk: Desk) -> None:
    desk.does('echo "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT $*" >>"$WORLD/seen"')
    done = desk.submit("--steps", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(desk.lines("seen")) == [
        f"{rank} {rank % 2} 4 node1 16077 --steps 20" for rank in range(4)
    ]
    assert desk.lines("requeued") == []
    needs, preflight, train = desk.lines("srun")
    assert needs.endswith(f"{desk.program}/launch/needs.py")
    assert preflight.endswith(f"{desk.program}/launch/preflight.py --steps 20 --run runs/main")
    assert train.endswith(f"{desk.program}/train.py --steps 20")
    for step in (needs, preflight, train):
        assert step.startswith(
            "--export=ALL --distribution=block --cpu-bind=none --label --kill-on-bad-exit=0"
        )
    assert (desk.run / "done").read_text().endswith(" --steps 20\n")


def test_a_run_that_is_done_is_not_started_again(desk: Desk) -> None:
    assert desk.submit("--steps", "20").returncode == 0
    again = desk.submit("--steps", "20")
    assert (again.returncode, again.stdout) == (0, "slurm.sbatch: this run is done already\n")
    assert len(desk.lines("srun")) == 3
    assert desk.submit("--steps", "21").returncode == 0  # another run
    desk.does("exit 0 # another program")
    assert desk.submit("--steps", "20").returncode == 0
    assert len(desk.lines("srun")) == 9


def test_arguments_that_look_alike_are_of_different_runs(desk: Desk) -> None:
    for arguments in (
        ["--data", "a b"],
        ["--data", "a", "b"],
        ["--data", "a\nb"],
        ["--data", "a\nc"],
    ):
        done = desk.submit(*arguments)
        assert (done.returncode, "done already" in done.stdout) == (0, False)
        assert "done already" in desk.submit(*arguments).stdout


def test_saved_before_the_limit_goes_back_into_the_queue(desk: Desk) -> None:
    desk.does("exit 75")
    assert desk.submit().returncode == 75
    assert desk.lines("requeued") == ["77"]
    assert not (desk.run / "done").exists()


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", ""])
def test_a_cancelled_job_stays_cancelled(desk: Desk, state: str) -> None:
    desk.does("exit 75")
    assert desk.submit(STATE=state).returncode == 75
    assert desk.lines("requeued") == []


@pytest.mark.parametrize(
    ("train", "code"),
    [
        ("exit 78", 78),
        ("exit 2", 78),  # argparse's, for a misspelt argument
        ("[[ $RANK == 2 ]] && exit 78; exit 137", 78),  # the others had to be killed
        ("[[ $RANK == 2 ]] && exit 78; exit 75", 78),
    ],
)
def test_wrong_configuration_is_never_requeued(desk: Desk, train: str, code: int) -> None:
    desk.does(train)
    assert desk.submit().returncode == code
    assert desk.lines("requeued") == []


def test_a_checkpoint_counts_though_processes_had_to_be_killed(desk: Desk) -> None:
    desk.does("[[ $RANK == 2 ]] && exit 75; exit 137")
    assert desk.submit().returncode == 75
    assert desk.lines("requeued") == ["77"]


def test_a_package_that_is_missing_is_a_wrong_configuration(desk: Desk) -> None:
    """The real check, by a Python that has none, as a stranger's would be."""
    real = program(("train.log", 'log { wandb = "llamas" }')).files["launch/needs.py"]
    desk.does('touch "$WORLD/trained"', needs=real)
    python = desk.folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    done = desk.submit(PYTHON=str(python), PYTHONPATH="")
    assert done.returncode == 78
    node, _, absent = done.stderr.splitlines()[0].rpartition(": ")
    assert node.startswith("error: not installed on ")
    assert absent == "torch, numpy, safetensors, wandb"
    assert len(done.stderr.splitlines()) == 2  # one a node
    assert len(desk.lines("srun")) == 1
    assert desk.lines("requeued") == []


@pytest.mark.parametrize(
    ("tasks", "per_node", "problem"),
    [
        ("2", "2", "this program runs on 4 processes, not 2"),  # --nodes=1
        ("8", "4", "this program runs on 4 processes, not 8"),
        (
            "4",
            "1",
            "2 processes per node, numbered node by node: RANK=1 needs LOCAL_RANK=1, not 0",
        ),
    ],
)
def test_a_job_of_another_shape_stops_before_it_waits(
    desk: Desk, tasks: str, per_node: str, problem: str
) -> None:
    """By the real check, of a job whose options on the command line are not the script's."""
    real = program().files["launch/needs.py"]
    desk.does('touch "$WORLD/trained"', preflight='touch "$WORLD/waited"', needs=real)
    # The processes run one after the other here, and what they print keeps their order.
    done = desk.submit(PYTHON=sys.executable, TASKS=tasks, PER_NODE=per_node)
    assert (done.returncode, done.stderr.splitlines()[0]) == (78, f"error: {problem}")
    assert len(desk.lines("srun")) == 1
    assert desk.lines("requeued") == []
    assert not (desk.folder / "waited").exists()


def test_what_an_allocation_around_the_job_says_is_not_for_its_steps(desk: Desk) -> None:
    desk.does('echo "${SLURM_MEM_PER_CPU-}${TORCHELASTIC_USE_AGENT_STORE-}$OMP_NUM_THREADS"')
    done = desk.submit(
        SLURM_MEM_PER_CPU="1", TORCHELASTIC_USE_AGENT_STORE="True", OMP_NUM_THREADS="0"
    )
    assert [line for line in done.stdout.splitlines() if ":" not in line] == ["4"] * 4


def test_a_node_that_is_not_fit_stops_the_job(desk: Desk) -> None:
    desk.does('touch "$WORLD/trained"', preflight="exit 71")
    assert desk.submit().returncode == 71
    assert desk.lines("requeued") == []
    assert not (desk.folder / "trained").exists()


def test_failures_are_tried_again_until_nothing_moves(desk: Desk) -> None:
    desk.does("exit 9")
    for restart in range(5):
        assert desk.submit(SLURM_RESTART_COUNT=str(restart)).returncode == 9
    assert len(desk.lines("requeued")) == 3  # max_retries


def test_a_new_checkpoint_is_new_hope(desk: Desk) -> None:
    desk.does('mkdir -p "$RUN/checkpoints/step-$SLURM_RESTART_COUNT"; exit 9')
    for restart in range(10):
        assert desk.submit(SLURM_RESTART_COUNT=str(restart)).returncode == 9
    desk.does("exit 9")
    for restart in range(10, 14):
        assert desk.submit(SLURM_RESTART_COUNT=str(restart)).returncode == 9
    assert len(desk.lines("requeued")) == 10 + 2


def test_a_checkpoint_that_is_being_written_is_none(desk: Desk) -> None:
    desk.does('mkdir -p "$RUN/checkpoints/step-$SLURM_RESTART_COUNT.partial"; exit 9')
    for restart in range(5):
        assert desk.submit(SLURM_RESTART_COUNT=str(restart)).returncode == 9
    assert len(desk.lines("requeued")) == 3


def test_a_failed_preflight_counts_as_a_failure(desk: Desk) -> None:
    desk.does('touch "$WORLD/trained"', preflight="exit 1")
    for restart in range(5):
        assert desk.submit(SLURM_RESTART_COUNT=str(restart)).returncode == 1
    assert len(desk.lines("requeued")) == 3
    assert not (desk.folder / "trained").exists()


@pytest.mark.parametrize("resume", [["--resume", "never"], ["--resume", "runs/other"]])
def test_back_from_the_queue_it_goes_on_from_its_own_checkpoint(
    desk: Desk, resume: list[str]
) -> None:
    (desk.run / "checkpoints" / "step-9").mkdir(parents=True)
    os.utime(desk.run / "checkpoints" / "step-9", (1, 1))
    desk.does('echo "$*" >>"$WORLD/seen"; exit 9')
    desk.submit(*resume)
    desk.submit(*resume, SLURM_RESTART_COUNT="1")  # no checkpoint of this job yet
    assert {*desk.lines("seen")} == {" ".join(resume)}
    desk.does('echo "$*" >"$WORLD/seen"; exit 9')
    (desk.run / "checkpoints" / "step-3").mkdir()
    desk.submit(*resume, SLURM_RESTART_COUNT="2")
    assert {*desk.lines("seen")} == {" ".join([*resume, "--resume auto"])}


@pytest.mark.parametrize(
    "given", [["--run", "runs/other one"], ["--run=runs/other one"], ["--ru", "runs/other one"]]
)
def test_another_folder_of_the_run(desk: Desk, given: list[str]) -> None:
    assert desk.submit(*given).returncode == 0
    assert (desk.folder / "runs" / "other one" / "done").exists()
    assert not desk.run.exists()
    assert desk.lines("srun")[1].endswith("--run runs/other one")


@pytest.mark.parametrize(
    "name",
    ["a b", "'", '"; touch canary; "', "$(touch canary)", "`touch canary`", "a\nb", "-x", "*", "é"],
)
def test_a_hostile_name_of_the_run(desk: Desk, name: str) -> None:
    desk.does('printf "%s" "$1" >"$WORLD/seen"')
    done = desk.submit(f"--run={name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (desk.folder / "seen").read_text() == f"--run={name}"
    assert (desk.folder / name / "done").exists()
    assert not (desk.folder / "canary").exists()
    assert "done already" in desk.submit(f"--run={name}").stdout


@pytest.mark.parametrize("given", [["--run"], ["--run="], ["--steps", "3", "--run", ""]])
def test_no_name_of_the_run_is_a_wrong_configuration(desk: Desk, given: list[str]) -> None:
    done = desk.submit(*given)
    assert (done.returncode, done.stdout) == (78, "slurm.sbatch: --run names no folder\n")
    assert desk.lines("srun") == []


def test_a_second_job_in_the_folder_of_one_that_runs_stays_out(desk: Desk) -> None:
    desk.submit(SLURM_JOB_ID="76", SLURM_RESTART_COUNT="0")
    (desk.run / "done").unlink()
    done = desk.submit(OTHERS="75 76")
    assert done.returncode == 78
    assert "job 76 is at work in 'runs/main'" in done.stdout
    assert len(desk.lines("srun")) == 3  # those of job 76
    assert desk.submit("--run", "runs/second", OTHERS="75 76").returncode == 0
    assert desk.submit(OTHERS="75").returncode == 0  # 76 has ended


def test_what_a_job_starts_says_so_elsewhere(desk: Desk) -> None:
    task = ["bash", str(desk.program / "launch" / "slurm-task.sh"), "true"]
    done = subprocess.run(task, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "slurm-task.sh: launch/slurm.sbatch starts this, in each process of a job\n"
    )


def test_a_folder_that_cannot_be_written_is_a_wrong_configuration(desk: Desk) -> None:
    (desk.folder / "runs").write_text("a file")
    assert desk.submit().returncode == 78
    assert desk.lines("srun") == []


@pytest.mark.parametrize("hosts", ["", "\n"])
def test_no_name_of_the_first_node_is_no_run_of_one_node(desk: Desk, hosts: str) -> None:
    assert desk.submit(HOSTS=hosts).returncode == 1
    assert desk.lines("srun") == []


def test_a_script_that_was_moved_says_what_to_set(desk: Desk) -> None:
    moved = desk.submit(SCRIPT="/elsewhere/job.sh")
    assert moved.returncode == 78
    assert "PROGRAM_DIR" in moved.stdout
    assert desk.submit(SCRIPT="/elsewhere/job.sh", PROGRAM_DIR=str(desk.program)).returncode == 0
    near = os.path.relpath(desk.program, desk.folder)
    assert desk.submit("again", SCRIPT="x", PROGRAM_DIR=near, CDPATH="/").returncode == 0
    assert f"{desk.program}/train.py again" in desk.lines("srun")[-1]


def test_site_profile_and_container(desk: Desk) -> None:
    (desk.program / "launch" / "site.sh").write_text("export NCCL_SOCKET_IFNAME=ib0 MASTER_ADDR=x")
    desk.does('echo "$NCCL_SOCKET_IFNAME $MASTER_ADDR" >>"$WORLD/seen"')
    assert desk.submit(CONTAINER="an image").returncode == 0
    assert {*desk.lines("seen")} == {"ib0 x"}
    assert all("--container-image=an image " in line for line in desk.lines("srun"))


@pytest.mark.parametrize("name", ["a:b", "a,b"])
def test_a_name_that_a_container_cannot_mount(desk: Desk, name: str) -> None:
    assert desk.submit("--run", name, CONTAINER="image").returncode == 78
    assert desk.lines("srun") == []
    assert desk.submit("--run", name).returncode == 0


def asked_to_stop(desk: Desk, *ready: str, **changes: str) -> int:
    """The exit code of a job that gets the signal once there are all these files."""
    with subprocess.Popen(
        desk.command(), cwd=desk.folder, env=desk.variables(**changes), stdout=subprocess.DEVNULL
    ) as job:
        while not all((desk.folder / name).exists() for name in ready):
            assert job.poll() is None
            time.sleep(0.02)
        os.kill(job.pid, signal.SIGUSR2)  # as --signal=B:USR2 does: the batch shell alone
        return job.wait(timeout=60)


READY = tuple(f"ready{rank}" for rank in range(4))
WAITS = 'touch "$WORLD/ready$RANK"; for ((i = 0; i < 600; i++)); do sleep 0.05; done'


@pytest.mark.parametrize("script", ["needs", "preflight", "train"])
def test_a_signal_that_nobody_listens_to_yet_is_no_failure(desk: Desk, script: str) -> None:
    """Python ends by it as bash does, until train.py has said otherwise."""
    desk.does(**{"train": 'touch "$WORLD/trained"', script: WAITS})
    for restart in range(5):
        for name in READY:
            (desk.folder / name).unlink(missing_ok=True)
        assert asked_to_stop(desk, *READY, SLURM_RESTART_COUNT=str(restart)) == 75
    assert desk.lines("requeued") == ["77"] * 5
    assert not (desk.folder / "trained").exists()


def test_a_signal_before_the_first_step(desk: Desk) -> None:
    site = 'touch "$WORLD/reading"; for ((i = 0; i < 10; i++)); do sleep 0.05; done'
    (desk.program / "launch" / "site.sh").write_text(site)
    assert asked_to_stop(desk, "reading") == 75
    assert desk.lines("requeued") == ["77"]
    assert desk.lines("srun") == []


def test_a_failure_while_stopping_is_one(desk: Desk) -> None:
    desk.does(f"trap 'exit 74' USR2\n{WAITS}")
    assert asked_to_stop(desk, *READY) == 74
    assert (desk.run / "slurm" / "77" / "failures").exists()


def test_a_signal_reaches_every_process_and_is_waited_for(desk: Desk) -> None:
    desk.does(f'trap \'echo "$RANK" >>"$WORLD/saved"; exit 75\' USR2\n{WAITS}')
    assert asked_to_stop(desk, *READY) == 75
    assert sorted(desk.lines("saved")) == ["0", "1", "2", "3"]
    assert desk.lines("requeued") == ["77"]
