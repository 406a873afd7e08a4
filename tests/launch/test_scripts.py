"""The scripts as text: which there are, what they say, and that no text of a spec becomes code."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.launch.quoting import quoted
from backends.launch.scripts import clock
from backends.program import Program
from compiler.pipeline import read
from compiler.schema.cluster import IMAGE, NAME
from dsl.frontend import Missing
from tests.launch.specs import GPU_NODES, TWO_NODES, program, written
from tests.programs import support

SLURM = ("cluster.launch", 'slurm { partition = "gpu.large", time = 26h, checkpoint_budget = 90s }')
PROGRAMS = {
    "one node": program(text=support.TEXT),
    "one node under Slurm": program(SLURM, text=support.TEXT),
    "two nodes": program(),
    "GPUs": program(SLURM, text=GPU_NODES),
    "no scheduler": program(("cluster.launch", "local")),
}
NEEDS = "needs.py"
CHECKS = {"preflight.py", "verdict.py", NEEDS}


def launch_files(made: Program) -> dict[str, str]:
    return {
        name.removeprefix("launch/"): text
        for name, text in made.files.items()
        if name.startswith("launch/")
    }


def options(made: Program) -> list[str]:
    """Those in the head of slurm.sbatch, as sbatch reads them: up to the first other line."""
    first, *lines = made.files["launch/slurm.sbatch"].splitlines()
    assert first == "#!/usr/bin/env bash"
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    found = [line.removeprefix("#SBATCH ") for line in head if line.startswith("#SBATCH")]
    assert len(found) == made.files["launch/slurm.sbatch"].count("#SBATCH")
    return found


def test_a_cluster_gets_the_scripts_that_start_it() -> None:
    slurm = {"slurm.sbatch", "slurm-task.sh"}
    assert {name: set(launch_files(made)) for name, made in PROGRAMS.items()} == {
        "one node": {"local.sh", NEEDS},
        "one node under Slurm": {"local.sh", *slurm, *CHECKS},
        "two nodes": {"multinode.sh", *slurm, *CHECKS},
        "GPUs": {"multinode.sh", *slurm, *CHECKS},
        "no scheduler": {"multinode.sh", *CHECKS},
    }
    for made in PROGRAMS.values():
        shell = {name for name in made.files if name.endswith(".sh")}
        assert made.executable == shell


def test_head_of_the_batch_script() -> None:
    assert options(PROGRAMS["GPUs"]) == [
        "--job-name=main",
        "--partition=gpu.large",
        "--nodes=4",
        "--ntasks-per-node=8",
        "--gpus-per-node=8",
        "--exclusive",
        "--mem=0",
        "--time=1-02:00:00",
        "--signal=B:USR2@90",
        "--requeue",
        "--open-mode=append",
        "--output=%x-%j.out",
    ]


def test_what_is_not_written_is_the_sites_own() -> None:
    assert options(PROGRAMS["two nodes"]) == [
        "--job-name=main",
        "--nodes=2",
        "--ntasks-per-node=2",
        "--exclusive",
        "--mem=0",
        "--signal=B:USR2@300",
        "--requeue",
        "--open-mode=append",
        "--output=%x-%j.out",
    ]


def test_only_programs_for_gpus_speak_of_them() -> None:
    assert "NCCL" in PROGRAMS["GPUs"].files["launch/slurm.sbatch"]
    for name in ("slurm.sbatch", "multinode.sh"):
        assert not re.search("NCCL|CUDA|gpu", PROGRAMS["two nodes"].files[f"launch/{name}"])


def test_machines_stand_in_config() -> None:
    config = PROGRAMS["GPUs"].files["config.py"]
    layer = 16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 24 + 2 * 16 + 2 * 4  # q, k v, o, ffn, norms
    parameters = 2 * 256 * 16 + 2 * layer + 16
    assert f"CHECKPOINTS_BYTES = {3 * 12 * parameters}  #" in config
    assert "LINK_BANDWIDTH = 450000000000.0  # cluster.node.link, " in config
    assert "FABRIC_BANDWIDTH = 50000000000.0  # cluster.fabric.bandwidth, " in config
    assert "NODES = 4  # cluster.nodes, " in config
    assert "# The machines" not in PROGRAMS["one node"].files["config.py"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "0-00:01:00"), (90.2, "0-00:01:31"), (3600, "0-01:00:00"), (200_000, "2-07:33:20")],
)
def test_times_as_slurm_writes_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("log", "more"),
    [
        ("log {}", []),
        ("log { tensorboard = true }", ["tensorboard"]),
        ('log { wandb = "llamas" }', ["wandb"]),
        ('log { wandb = "llamas", tensorboard = true }', ["tensorboard", "wandb"]),
    ],
)
def test_packages_that_a_program_needs(log: str, more: list[str]) -> None:
    text = program(("train.log", log)).files["launch/needs.py"]
    (line,) = [line for line in text.splitlines() if line.startswith("NAMES = ")]
    assert ast.literal_eval(line.removeprefix("NAMES = ")) == [
        *("torch", "numpy", "safetensors"),
        *more,
    ]


@pytest.mark.parametrize("made", PROGRAMS.values(), ids=PROGRAMS)
def test_shellcheck_has_nothing_to_say(made: Program, tmp_path: Path) -> None:
    tool = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or "shellcheck"
    folder = written(made, tmp_path)
    scripts = [path for path in (folder / "launch").iterdir() if path.suffix != ".py"]
    done = subprocess.run([tool, *scripts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Texts against every field that reaches a script: each is refused, or is one quoted word.

HOSTILE = (
    "$(touch canary)",
    "`touch canary`",
    "'; touch canary; '",
    '"; touch canary; "',
    "a b\tc",
    "x' $(touch canary) 'y",
    "\\'; touch canary #",
    "$'\\x41'",
    "#SBATCH --wrap=x",
    "a\n#SBATCH --wrap=x",
    "\n",
    "a\rtouch canary",
    "\x00",
    "\u2028touch canary",
    "\u202e)yranac hcuot($",
    "--help",
    "-A",
    "{{ image }}",
    "{% raw %}",
    "é" * 64,
    "a" * 2000,
    "*",
    "~",
    "!!",
)
FIELDS = ("account", "partition", "qos", "constraint", "reservation", "container")


def compiles(field: str, payload: str) -> Program | None:
    """The program of a spec with this text in this field, None where the spec is refused."""
    text = payload.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    spec = TWO_NODES.replace("nodes = 2", f'nodes = 2, launch = slurm {{ {field} = "{text}" }}')
    loaded = read("small.llama", lambda path: spec if path == "small.llama" else Missing())
    return None if loaded.spec is None else program(text=spec)


@pytest.mark.parametrize("payload", HOSTILE)
@pytest.mark.parametrize("field", FIELDS[:-1])
def test_a_hostile_name_is_refused(field: str, payload: str) -> None:
    assert compiles(field, payload) is None


@pytest.mark.parametrize("payload", HOSTILE)
def test_a_hostile_image_is_refused_or_one_word(payload: str, tmp_path: Path) -> None:
    made = compiles("container", payload)
    breaks = any(character < " " or character in "\u2028\x7f" for character in payload)
    if breaks or payload.startswith("-") or len(payload) > 1024:
        assert made is None
        return
    assert made is not None
    plain = compiles("container", "benign")
    assert plain is not None
    ours, theirs = (one.files["launch/slurm.sbatch"].splitlines() for one in (made, plain))
    differing = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    assert differing == [(f"image={quoted(payload)}", "image=benign")]
    assert said_by_bash(quoted(payload), tmp_path) == payload


def said_by_bash(word: str, folder: Path) -> str:
    """What bash takes the word for; nothing must come of it in its folder."""
    script = f'set -u\nimage={word}\nprintf %s "$image"\n'
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert list(folder.iterdir()) == []
    assert done.stderr == ""
    return done.stdout


@given(st.text())
def test_the_nearest_text_of_a_form_fits_it(text: str) -> None:
    for form in (NAME, IMAGE):
        nearest = form.nearest(text)
        assert form.nearest(nearest) == nearest
        assert len(nearest) <= form.longest
    assert re.fullmatch(r"([A-Za-z0-9._][A-Za-z0-9._-]{0,63})?", NAME.nearest(text))
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", IMAGE.nearest(text))


@settings(max_examples=40)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=60
    )
)
def test_a_quoted_text_is_itself_in_bash(texts: list[str]) -> None:
    words = " ".join(quoted(text) for text in texts)
    assert words.isprintable()
    script = f"printf '%s\\0' {words}" if texts else ":"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == texts


def test_bash_holds_no_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quoted("a\0b")
