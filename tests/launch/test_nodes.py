"""Two "nodes" on this machine, without a scheduler: launch/multinode.sh and the check of nodes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.launch.specs import program, written
from tests.programs.support import environment, metrics, replaced, write_text

pytestmark = pytest.mark.long

Process = subprocess.Popen[str]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def outcome(started: Sequence[Process]) -> tuple[list[int], str]:
    """Exit codes, and all that was said."""
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [process.returncode for process in started], "".join(said)


def start(command: Sequence[str | Path], cwd: Path, variables: Mapping[str, str]) -> Process:
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_nodes_by_torchrun(tmp_path: Path) -> None:
    write_text(tmp_path)
    folder = written(program(("cluster.launch", "local")), tmp_path)
    (folder / "launch" / "site.sh").write_text("export PREFLIGHT_WAIT=120\n")
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    script = folder / "launch" / "multinode.sh"
    nodes = [
        start(
            ["bash", script, "--steps", "4", "--run", "here"],
            tmp_path,
            {**place, "NODE_RANK": rank},
        )
        for rank in ("1", "0")  # whichever comes first: ranks go by NODE_RANK
    ]
    codes, said = outcome(nodes)
    assert codes == [0, 0], said
    assert "preflight: all-reduce between nodes: fine" in said
    assert [record["step"] for record in metrics(tmp_path / "here")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"MASTER_ADDR": "a"},
        {"NODE_RANK": "0"},
        *(
            {"MASTER_ADDR": "a", "NODE_RANK": rank}
            for rank in ("", "2", "-1", "08", "1 ", "1\n", "$(touch canary)", f"{2**64}", "a[0]")
        ),
    ],
)
def test_what_a_node_must_be_told(tmp_path: Path, variables: dict[str, str]) -> None:
    script = written(program(), tmp_path) / "launch" / "multinode.sh"
    codes, said = outcome([start(["bash", script], tmp_path, variables)])
    assert codes == [78]
    assert said == "multinode.sh: set MASTER_ADDR to node 0, and NODE_RANK to 0 ... 1\n"


def test_a_node_without_the_packages(tmp_path: Path) -> None:
    made = program(("train.log", "log { tensorboard = true }"))
    script = written(made, tmp_path) / "launch" / "multinode.sh"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    place = {"MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0", "PYTHON": str(python)}
    codes, said = outcome([start(["bash", script], tmp_path, {**place, "PYTHONPATH": ""})])
    assert codes == [78]
    assert said.endswith(": torch, numpy, safetensors, tensorboard\n")
    assert said.count("\n") == 1


def check_nodes(
    cwd: Path, folders: Sequence[Path], wait: str = "120"
) -> tuple[list[int], list[str]]:
    """preflight.py, a process for each of `folders`, where its node has the program."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "4"}
    place |= {"PREFLIGHT_WAIT": wait, "NODE_NAMES": "left\nright"}
    codes, said = outcome(
        [
            start(
                [sys.executable, folder / "launch" / "preflight.py"],
                cwd,
                {**place, "RANK": f"{i}", "LOCAL_RANK": f"{i % 2}", "PYTHONPATH": str(folder)},
            )
            for i, folder in enumerate(folders)
        ]
    )
    return codes, [line for line in said.splitlines() if line.startswith("preflight")]


def test_nodes_that_are_fit(tmp_path: Path) -> None:
    codes, said = check_nodes(tmp_path, [written(program(), tmp_path)] * 4)
    assert codes == [0, 0, 0, 0]
    assert [line.split(":")[1].strip() for line in said] == [
        "start",
        "room",
        "node",
        "connection",
        "matrix product",
        "all-reduce in a node",
        "all-reduce between nodes",
    ]
    assert all(": fine" in line for line in said)
    left = (tmp_path / "runs" / "main").rglob("*")
    assert [path for path in left if path.is_file()] == []  # no mark


def test_a_node_with_another_program(tmp_path: Path) -> None:
    mine, other = written(program(), tmp_path), written(program(), tmp_path / "other")
    (other / "config.py").write_text((mine / "config.py").read_text() + "# edited\n")
    codes, said = check_nodes(tmp_path, [mine, mine, other, other])
    assert codes == [71] * 4
    assert said[-1] == "preflight: leave out 1 of 2 nodes: --exclude=right"
    assert [line.split(":")[2] for line in said[2:4]] == [" right, process 2", " right, process 3"]
    assert "process 0 has python" in said[2]


def test_a_node_that_does_not_come(tmp_path: Path) -> None:
    codes, said = check_nodes(tmp_path, [written(program(), tmp_path)] * 2, wait="60")
    assert codes == [71, 71]
    assert said == [
        "preflight: start: right, process 2: no answer",
        "preflight: start: right, process 3: no answer",
        "preflight: start: not fine",
        "preflight: leave out 1 of 2 nodes: --exclude=right",
    ]


def edited(folder: Path, old: str, new: str) -> Path:
    """The program, with another text in preflight.py."""
    script = folder / "launch" / "preflight.py"
    text = script.read_text()
    assert text.count(old) == 1
    script.write_text(text.replace(old, new))
    return folder


def test_a_process_that_hangs_in_a_collective(tmp_path: Path) -> None:
    """Process 3 never joins the all-reduce between nodes, so process 1 waits for it in vain."""
    head = "def between_nodes() -> float:\n"
    hangs = f"{head}    while RANK == 3:\n        time.sleep(1)\n"
    folder = edited(written(program(), tmp_path), head, hangs)
    codes, said = check_nodes(tmp_path, [folder] * 4, wait="60")
    assert codes == [71] * 4
    assert said[-4:] == [
        "preflight: all-reduce between nodes: left, process 1: no answer",
        "preflight: all-reduce between nodes: right, process 3: no answer",
        said[-2],
        "preflight: leave out 2 of 2 nodes: --exclude=left,right",
    ]


def test_a_clock_that_is_off(tmp_path: Path) -> None:
    folder = edited(
        written(program(), tmp_path), "off := time.time()", "off := time.time() + 9 * (RANK > 1)"
    )
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [71] * 4
    assert [line for line in said if "clock" in line] == [
        "preflight: node: right, process 2: its clock is +9.0 s off that of process 0",
        "preflight: node: right, process 3: its clock is +9.0 s off that of process 0",
    ]
    assert said[-1] == "preflight: leave out 1 of 2 nodes: --exclude=right"


def test_a_node_without_the_data(tmp_path: Path) -> None:
    """It is left out; where no node has them, the nodes are fit: train.py says what is wrong."""
    folder = written(program(), tmp_path)
    assert check_nodes(tmp_path, [folder] * 4)[0] == [0] * 4
    write_text(tmp_path)
    edited(folder, "return os.path.exists(data)", "return RANK < 2 and os.path.exists(data)")
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [71] * 4
    missing = "it has no train, and other nodes do; it has no validation, and other nodes do"
    assert [line for line in said if "other nodes do" in line] == [
        f"preflight: node: right, process 2: {missing}",
        f"preflight: node: right, process 3: {missing}",
    ]
    assert said[-1] == "preflight: leave out 1 of 2 nodes: --exclude=right"


def test_a_process_that_was_not_let_run_has_no_wrong_clock(tmp_path: Path) -> None:
    head = '    """What is wrong with this node, as far as it can be seen."""\n'
    late = f"{head}    time.sleep(3 * (RANK > 1))\n"
    folder = edited(written(program(), tmp_path), head, late)
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [0] * 4, said


def test_gpus_that_are_not_there_or_have_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf '0\\n3\\n[N/A]\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    folder = written(replaced(program(), DEVICE="cuda"), tmp_path)
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [71] * 4
    assert [line.split("process ")[1] for line in said[2:6]] == [
        "0: 0 GPUs, not 2; 3 uncorrected memory errors",
        "1: 0 GPUs, not 2",
        "2: 0 GPUs, not 2; 3 uncorrected memory errors",
        "3: 0 GPUs, not 2",
    ]


def test_rates_below_what_the_spec_promises(tmp_path: Path) -> None:
    made = replaced(program(), FABRIC_BANDWIDTH=1e30)
    folder = edited(written(made, tmp_path), "ENOUGH if CUDA else 0.0", "ENOUGH")
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [71] * 4
    assert said[-6].startswith("preflight: all-reduce between nodes: left, process 0: ")
    assert said[-6].endswith(", less than 5e+29")
    assert said[-1] == "preflight: leave out 2 of 2 nodes: --exclude=left,right"


def test_no_room_for_checkpoints(tmp_path: Path) -> None:
    folder = written(replaced(program(), CHECKPOINTS_BYTES=10**18), tmp_path)
    codes, said = check_nodes(tmp_path, [folder] * 4)
    assert codes == [78] * 4
    wrong, verdict = said[1:]  # and no node to leave out: they share the folder
    assert (
        "process 0: checkpoints take 1,000,000,000,000,000,000 bytes; in runs/main 0 are" in wrong
    )
    assert verdict == "preflight: room: not fine"


FINISHED, PARTIAL, OTHER = "checkpoints/step-20", "checkpoints/step-30.partial", "checkpoints/mine"
ROOM = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
import config, preflight
config.CHECKPOINTS_BYTES = 300
for i, (resume, free) in enumerate(zip(sys.argv[1::2], sys.argv[2::2])):
    disk = SimpleNamespace(free=int(free))
    preflight.shutil.disk_usage = lambda run: disk
    print(preflight.room(Path(f"run{i}"), resume) or "fine")
"""


def test_checkpoints_of_the_run_make_room_for_the_next(tmp_path: Path) -> None:
    """300 bytes are needed: for two that are kept and one that is being written."""
    two = {f"{FINISHED}0/shard": 60, f"{FINISHED}0/state.json": 40, f"{FINISHED}/shard": 100}
    cases: list[tuple[str, int, dict[str, int], bool]] = [
        ("auto", 300, {}, True),
        ("auto", 299, {}, False),
        ("auto", 100, two, True),  # back from the queue: the third still fits
        ("auto", 99, two, False),
        ("never", 100, two, False),  # then they are set aside, and stay
        ("other/run", 100, two, False),
        ("auto", 200, {f"{PARTIAL}/shard": 100}, True),
        ("auto", 0, {**two, f"{FINISHED}00/shard": 500}, True),
        ("auto", 200, {f"{OTHER}/file": 100, "earlier-1/checkpoints/step-10/shard": 100}, False),
    ]
    arguments: list[str] = []
    for i, (resume, free, files, _) in enumerate(cases):
        arguments += [resume, f"{free}"]
        for name, size in {**files, "checkpoints/made": 0}.items():
            path = tmp_path / f"run{i}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size))
    folder = written(program(), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", ROOM, *arguments],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join([f"{folder / 'launch'}", f"{folder}"])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert [line == "fine" for line in told] == [fine for *_, fine in cases]
    assert told[3] == "checkpoints take 300 bytes; in run3 200 are theirs and 99 free"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    codes, said = check_nodes(tmp_path, [written(program(), tmp_path)] * 4)
    assert codes == [71] * 4
    assert "Not a directory" in said[0]
