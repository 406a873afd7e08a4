"""Programs under a real Slurm: two nodes on this machine, gloo between their processes.

Needs Slurm: `make slurm-test` runs these, nothing else does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launch.specs import GPU_NODES, program, written
from tests.programs.support import metrics, write_text
from tests.slurm.cluster import Cluster, Missing, cluster, until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slurm

# An hour, so that no limit of time is near however slow the machine is.
LAUNCH = ("cluster.launch", 'slurm { partition = "train", time = 1h }')


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with cluster(tmp_path_factory.mktemp("slurm")) as made:
            yield made
    except Missing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Where jobs are submitted, with the data of the program."""
    write_text(tmp_path)
    return tmp_path


def script(made: Path) -> str:
    return str(made / "launch" / "slurm.sbatch")


def stand_in(folder: Path, train: str, preflight: str = "exit 0") -> Path:
    """A program of which bash is the interpreter, for what only the exit codes decide."""
    made = written(program(LAUNCH), folder)
    (made / "train.py").write_text(train)
    (made / "launch" / "preflight.py").write_text(preflight)
    (made / "launch" / "needs.py").write_text("exit 0")
    return made


def said(desk: Path, job: str) -> str:
    return (desk / f"main-{job}.out").read_text()


@pytest.mark.parametrize("text", [None, GPU_NODES.replace("nodes  = 4", "nodes  = 2")])
def test_slurm_accepts_the_script(slurm: Cluster, desk: Path, text: str | None) -> None:
    made = program(LAUNCH) if text is None else program(LAUNCH, ("dp", "8"), text=text)
    path = script(written(made, desk))
    assert slurm.call("sbatch", "--test-only", path, cwd=desk).returncode == 0


def test_slurm_refuses_what_it_cannot_do(slurm: Cluster, desk: Path) -> None:
    path = script(written(program(LAUNCH), desk))
    too_many = slurm.call("sbatch", "--test-only", "--nodes=3", path, cwd=desk)
    assert too_many.returncode == 1
    misspelt = slurm.call("sbatch", "--test-only", "--partitoin=train", path, cwd=desk)
    assert misspelt.returncode == 255
    elsewhere = slurm.call("sbatch", "--test-only", "--partition=none", path, cwd=desk)
    assert elsewhere.returncode == 1


def test_a_run_to_the_end(slurm: Cluster, desk: Path) -> None:
    made = written(program(LAUNCH), desk)
    job = slurm.submit(desk, script(made))
    facts = slurm.wait(job)
    output = said(desk, job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("COMPLETED", "0:0", "0")
    assert "0: preflight: all-reduce between nodes: fine" in output
    assert [record["step"] for record in metrics(desk / "runs" / "main")] == [*range(1, 7)]
    assert len((desk / "runs" / "main" / "done").read_text().splitlines()) == 1
    again = slurm.submit(desk, script(made))
    assert slurm.wait(again)["ExitCode"] == "0:0"
    assert said(desk, again) == "slurm.sbatch: this run is done already\n"


def test_the_guide(slurm: Cluster, desk: Path) -> None:
    """The spec of docs/guide/slurm.md, compiled by the command and submitted."""
    page = (ROOT / "docs" / "guide" / "slurm.md").read_text(encoding="utf-8")
    (spec,) = re.findall(r"(?ms)^```llamac cluster.llama\n(.*?)^```$", page)
    (desk / "cluster.llama").write_text(spec, encoding="utf-8")
    shutil.copytree(ROOT / "examples", desk / "examples")
    for name in ("train", "validation"):
        (desk / "data" / "python" / name).mkdir(parents=True)
        (desk / "data" / "python" / name / "text").write_bytes(bytes(range(32, 127)) * 200)
    llamac = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from llamac.cli import main; main()"
    compile_ = [sys.executable, "-c", llamac, "compile", "cluster.llama", "-o", "out"]
    subprocess.run(compile_, cwd=desk, check=True, capture_output=True)
    job = slurm.submit(desk, "out/launch/slurm.sbatch", "--steps", "2")
    facts = slurm.wait(job)
    output = (desk / f"queue-{job}.out").read_text()
    assert (facts["JobState"], facts["ExitCode"]) == ("COMPLETED", "0:0"), output
    assert len(metrics(desk / "runs" / "queue")) == 2


def test_saved_before_the_limit_and_finished_in_the_next(slurm: Cluster, desk: Path) -> None:
    steps = 60
    limit = 'slurm { partition = "train", time = 240s, checkpoint_budget = 120s }'
    every = ("train.checkpoint.every", f"{steps}")
    made = program(("cluster.launch", limit), ("train.steps", f"{steps}"), every)
    folder = written(made, desk)
    text = (folder / "train.py").read_text()
    step = "        result = train_step("
    assert text.count(step) == 1
    # So that the run outlives its job on any machine, up to a job that has saved it.
    slowed = text.replace(step, f"        time.sleep(5 * (source is None))\n{step}")
    (folder / "train.py").write_text(slowed.replace("\nimport ", "\nimport time\nimport ", 1))
    job = slurm.submit(desk, script(folder))
    facts = slurm.wait(job)
    output = said(desk, job)
    assert (facts["JobState"], facts["ExitCode"]) == ("COMPLETED", "0:0"), output
    assert int(facts["Restarts"]) >= 1
    assert "stopped by a signal after step" in output
    assert output.count("slurm.sbatch: back into the queue") == int(facts["Restarts"])
    assert "resumed from runs/main/checkpoints/step-" in output
    assert [record["step"] for record in metrics(desk / "runs" / "main")] == [*range(1, steps + 1)]
    assert (desk / "runs" / "main" / "done").exists()


def test_wrong_data_is_never_requeued(slurm: Cluster, desk: Path) -> None:
    job = slurm.submit(desk, script(written(program(LAUNCH), desk)), "--data", "nowhere")
    facts = slurm.wait(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "78:0", "0")
    assert "error: --data: cannot read 'nowhere'" in said(desk, job)
    assert not (desk / "runs" / "main" / "done").exists()


def test_wrong_configuration_of_one_process_is_never_requeued(slurm: Cluster, desk: Path) -> None:
    made = stand_in(desk, '[[ $RANK == 2 ]] && exit 78; trap "" TERM; sleep 600')
    path = made / "launch" / "slurm.sbatch"
    path.write_text(path.read_text().replace("--wait=60", "--wait=2"))
    facts = slurm.wait(slurm.submit(desk, str(path), PYTHON="bash"))
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "78:0", "0")


def test_processes_that_leave_at_different_times_have_still_saved(
    slurm: Cluster, desk: Path
) -> None:
    made = stand_in(
        desk,
        "[[ $SLURM_RESTART_COUNT == 1 ]] && exit 0\n"
        'trap "sleep $RANK; exit 75" USR2\n'
        'touch "ready$RANK"; while :; do sleep 0.1; done',
    )
    job = slurm.submit(desk, script(made), PYTHON="bash")
    until(lambda: len(list(desk.glob("ready*"))) == 4, "the job")
    slurm.call("scancel", "--batch", "--signal=USR2", job)
    facts = slurm.wait(job)
    assert (facts["JobState"], facts["Restarts"]) == ("COMPLETED", "1")
    assert "slurm.sbatch: exit code 75" in said(desk, job)


def test_a_signal_while_the_nodes_are_tried_is_no_failure(slurm: Cluster, desk: Path) -> None:
    """Four of them, where four failures would be the end."""
    waits = (
        '[[ $SLURM_RESTART_COUNT == 4 ]] || { touch "ready$RANK"; while :; do sleep 0.1; done; }'
    )
    job = slurm.submit(desk, script(stand_in(desk, "exit 0", waits)), PYTHON="bash")
    for _ in range(4):
        until(lambda: not slurm.ended(job) and len(list(desk.glob("ready*"))) == 4, "the job")
        for path in desk.glob("ready*"):
            path.unlink()
        slurm.call("scancel", "--batch", "--signal=USR2", job)
    facts = slurm.wait(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("COMPLETED", "0:0", "4")
    assert said(desk, job).count("slurm.sbatch: exit code 75") == 4


def test_a_second_job_at_a_run_stays_out(slurm: Cluster, desk: Path) -> None:
    made = stand_in(desk, 'touch "ready$RANK"; until [[ -e go ]]; do sleep 0.1; done')
    first = slurm.submit(desk, "--nodes=1", script(made), PYTHON="bash")
    until(lambda: len(list(desk.glob("ready*"))) == 2, "the job")
    second = slurm.submit(desk, "--nodes=1", script(made), PYTHON="bash")
    facts = slurm.wait(second)
    (desk / "go").touch()
    assert (facts["JobState"], facts["ExitCode"]) == ("FAILED", "78:0")
    assert f"job {first} is at work in 'runs/main'" in said(desk, second)
    assert slurm.wait(first)["ExitCode"] == "0:0"


def test_failures_are_tried_again_until_nothing_moves(slurm: Cluster, desk: Path) -> None:
    facts = slurm.wait(slurm.submit(desk, script(stand_in(desk, "exit 9")), PYTHON="bash"))
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "9:0", "3")


def test_a_node_that_is_not_fit_is_named(slurm: Cluster, desk: Path) -> None:
    """The second node cannot see the folder that the first one writes into."""
    made = written(program(LAUNCH), desk)
    path = made / "launch" / "preflight.py"
    own = 'run = run / "elsewhere" if RANK // DEVICES else run\n    code = judged('
    assert path.read_text().count("code = judged(") == 1
    path.write_text(path.read_text().replace("code = judged(", own))
    job = slurm.submit(desk, script(made))
    facts = slurm.wait(job)
    assert (facts["JobState"], facts["ExitCode"], facts["Restarts"]) == ("FAILED", "71:0", "0")
    assert "leave out 1 of 2 nodes: --exclude=0x7f000002\n" in said(desk, job)


def test_a_cancelled_job_does_not_come_back(slurm: Cluster, desk: Path) -> None:
    made = stand_in(desk, 'trap "exit 75" TERM; touch "ready$RANK"; while :; do sleep 0.1; done')
    job = slurm.submit(desk, script(made), PYTHON="bash")
    until(lambda: len(list(desk.glob("ready*"))) == 4, "the job")
    slurm.call("scancel", job)
    facts = slurm.wait(job)
    assert (facts["JobState"], facts["Restarts"]) == ("CANCELLED", "0")


def test_a_chain_of_jobs_stops_where_the_run_is_done(slurm: Cluster, desk: Path) -> None:
    """For queues that take no requeue: one job after the other by the same name."""
    made = stand_in(
        desk, 'touch "tried$SLURM_JOB_ID"; [[ -e second ]] && exit 0; touch second; exit 75'
    )
    options = ("--no-requeue", "--dependency=singleton")
    jobs = [slurm.submit(desk, *options, script(made), PYTHON="bash") for _ in range(3)]
    codes = [slurm.wait(job)["ExitCode"] for job in jobs]
    assert codes == ["75:0", "0:0", "0:0"]
    assert not (desk / f"tried{jobs[2]}").exists()
