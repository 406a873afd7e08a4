"""The worked examples of CONTRIBUTING.md: each is a patch that applies here, and its tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent / "patches"
LAW = "tests/properties/test_lowering.py::test_graph_means_what_the_spec_means"

TESTS: dict[str, tuple[str, ...]] = {
    "add-a-field": (
        "tests/language/test_cases.py::test_case[fields: The temperature of a sample]",
        "tests/programs/test_text.py::test_temperature_reaches_the_sampler",
    ),
    "add-an-error": (
        "tests/compiler/test_planner.py::test_validation_on_the_training_data_is_drawn",
        "tests/language/test_cases.py::test_every_problem_is_explained",
    ),
    "add-a-component": (
        "tests/compiler/test_lowering.py::test_a_low_rank_gate_is_narrow_where_it_is_gathered",
        LAW,
        "tests/twin/test_layouts.py::test_more_layouts[low-rank gate]",
    ),
    "add-an-operator": (
        "tests/models/test_reference_against_transformers.py::test_logits_and_gradients[arcee]",
        LAW,
        "tests/twin/test_layouts.py::test_more_layouts[squared ReLU]",
    ),
}
"""What a patch adds to the tests, or brings into them."""


def patch(name: str) -> Path:
    return PATCHES / f"{name}.patch"


def touched(name: str) -> list[str]:
    """The files that a patch changes."""
    return re.findall(r"^\+\+\+ b/(.+)$", patch(name).read_text(encoding="utf-8"), re.MULTILINE)


def sections() -> dict[str, str]:
    """The sections of CONTRIBUTING.md by title."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def run(*command: str, cwd: Path) -> str:
    """Both outputs; a failure fails the test and shows them."""
    settings = {**os.environ, "PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


def test_every_patch_has_its_tests() -> None:
    assert {file.stem for file in PATCHES.iterdir()} == set(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_the_text_names_every_place(name: str) -> None:
    """`add-a-field` is worked in the section "Add a field", which names each file it changes."""
    section = sections()[name.replace("-", " ").capitalize()]
    assert f"tests/contributing/patches/{name}.patch" in section
    named = set(re.findall(r"`([\w./]+/[\w.]+)`", section))
    assert named >= set(touched(name))


@pytest.mark.parametrize("name", TESTS)
def test_patch_applies(name: str, tmp_path: Path) -> None:
    for file in touched(name):
        copy = tmp_path / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy)
    run("git", "apply", str(patch(name)), cwd=tmp_path)


@pytest.fixture
def patched(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of all tracked files, with the patch applied."""
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for file in filter(None, tracked):
        copy = tmp_path / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy)
    run("git", "apply", str(patch(request.param)), cwd=tmp_path)
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize(
    ("patched", "name"), list(zip(TESTS, TESTS, strict=True)), indirect=["patched"]
)
def test_patch_passes_its_tests(patched: Path, name: str) -> None:
    python = [file for file in touched(name) if file.endswith(".py")]
    run(sys.executable, "-m", "ruff", "check", "--no-cache", *python, cwd=patched)
    run(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *python, cwd=patched)
    checked = [file for file in python if not file.startswith("tests/")]
    run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *checked, cwd=patched)
    pytest_options = ("-q", "-p", "no:cacheprovider")
    said = run(sys.executable, "-m", "pytest", *pytest_options, *TESTS[name], cwd=patched)
    assert re.search(rf"^{len(TESTS[name])} passed\b", said.splitlines()[-1])
