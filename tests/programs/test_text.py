"""What every program's text keeps: form, size, independence, and nothing of the spec as code."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from backends.emit import emit
from backends.python.wrapping import LINE_LENGTH
from backends.pytorch.config import literal
from backends.pytorch.emit import MODULES
from compiler.pipeline import Compiled, compile_plan
from compiler.schema import PlanSpec
from tests.programs.support import compiled, write
from tests.programs.variants import modules, variants
from tests.strategies import plan_specs

VARIANTS = variants()
STUBS = Path(__file__).parent / "stubs"
OWN = {*MODULES, "config", "pretrained", "verdict"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All variants, each in a folder of its own."""
    root = tmp_path_factory.mktemp("variants")
    for index, plan in enumerate(VARIANTS.values()):
        write(emit(plan), root / str(index))
    return root


def tool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_formatted_and_linted(folder: Path) -> None:
    assert tool(folder, "-m", "ruff", "format", "--check", "--no-cache", ".") == ""
    assert tool(folder, "-m", "ruff", "check", "--no-cache", ".") == ""


def test_random_programs_are_formatted(tmp_path: Path) -> None:
    """Several kinds of layer, long names, every axis at once: where lines get too long."""
    drawn: list[Compiled] = []

    @settings(max_examples=40, deadline=None, phases=[Phase.generate], database=None)
    @given(spec=plan_specs())
    def draw(spec: PlanSpec) -> None:
        result = compile_plan("plan", spec)
        assert result.compiled is not None, result.diagnostics
        drawn.append(result.compiled)

    draw()
    for index, plan in enumerate(drawn):
        write(emit(plan), tmp_path / str(index))
    assert tool(tmp_path, "-m", "ruff", "format", "--check", "--no-cache", ".") == ""
    assert tool(tmp_path, "-m", "ruff", "check", "--no-cache", ".") == ""


@pytest.mark.parametrize("plan", VARIANTS.values(), ids=VARIANTS)
def test_lines_fit(plan: Compiled) -> None:
    """Those of strings too, which the formatter leaves alone; not the comments of config.py."""
    texts = [text for name, text in modules(plan).items() if name != "config.py"]
    assert [line for text in texts for line in text.splitlines() if len(line) > LINE_LENGTH] == []


def test_compiles_without_a_warning(folder: Path) -> None:
    files = [str(path.relative_to(folder)) for path in folder.rglob("*.py")]
    assert tool(folder, "-W", "error", "-m", "py_compile", *files) == ""
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)


def test_types(folder: Path) -> None:
    """pyright in its basic mode."""
    # Each is a root of its own, as where it is used: its `data` is data.py, whatever folder of that
    # name lies beside the Python that runs this.
    roots = [{"root": path.name, "extraPaths": [str(STUBS)]} for path in folder.iterdir()]
    settings = {"typeCheckingMode": "basic", "executionEnvironments": roots}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    assert tool(folder, "-m", "pyright", "--pythonpath", sys.executable, ".") == ""


def test_launch_script_parses(folder: Path) -> None:
    for script in folder.rglob("local.sh"):
        assert os.access(script, os.X_OK)
        done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("plan", VARIANTS.values(), ids=VARIANTS)
def test_imports_only_what_its_readme_names(plan: Compiled) -> None:
    asked = {"wandb"} if plan.plan.spec.train.log.wandb is not None else set[str]()
    for text in modules(plan).values():
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                root = name.split(".")[0]
                assert (
                    root in {"torch", "safetensors", *asked, *OWN}
                    or root in sys.stdlib_module_names
                )


@pytest.mark.parametrize("plan", VARIANTS.values(), ids=VARIANTS)
def test_config_holds_literals_with_their_origin_and_all_are_used(plan: Compiled) -> None:
    files = modules(plan)
    tree = ast.parse(files["config.py"])
    docstring, *assignments = tree.body
    assert isinstance(docstring, ast.Expr)
    others = "\n".join(text for name, text in files.items() if name != "config.py")
    lines = files["config.py"].splitlines()
    meaning = assignments.pop()
    assert isinstance(meaning, ast.AnnAssign)
    assert ast.unparse(meaning.target) == "MEANING"
    for node in assignments:
        assert isinstance(node, ast.Assign)
        ast.literal_eval(node.value)
        assert isinstance(node.targets[0], ast.Name)
        name = node.targets[0].id
        assert re.search(rf"\b{name}\b", others), f"{name} is not used"
        assert "  # " in lines[node.lineno - 1] or lines[node.lineno - 2].startswith("# ")


def test_short_enough_to_read() -> None:
    files = modules(VARIANTS["copies of key/value heads"])
    lengths = {name: text.count("\n") for name, text in files.items() if name != "config.py"}
    assert lengths["model.py"] <= 350
    assert sum(lengths[f"{name}.py"] for name in ("model", "parallel", "train")) <= 950
    assert sum(lengths.values()) <= 1750


def test_a_feature_that_is_not_chosen_is_not_printed() -> None:
    whole = "\n".join(modules(compiled(("tp", "1"), ("dp", "4"))).values())
    for absent in ('"tp"', "TP", "kv_copy", "replicate", "all_gather(", "reduce_scatter", "KV,"):
        assert absent not in whole
    bare = "\n".join(modules(VARIANTS["no evaluation"]).values())
    for absent in ("evaluate", "sample", "PROMPT", "VALIDATION"):
        assert absent not in bare
    assert "CLIP" not in "\n".join(modules(VARIANTS["interleaved pairs, no clipping"]).values())


def test_a_hostile_prompt_stays_a_string() -> None:
    prompt = "\"\"\"'''\\\n#{{ x }}{% endfor %}#IMPORTS\n#HELPERS\\"
    escaped = prompt.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    files = modules(compiled(("train.eval.prompt", f'"{escaped}"')))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(files["config.py"]).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert values["PROMPT"] == prompt
    del files["config.py"]
    plain = modules(VARIANTS["sharded and tensor-parallel"])
    assert files == {name: text for name, text in plain.items() if name != "config.py"}


@given(st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_literal_reads_back(value: str | int | bool | float) -> None:
    text = literal(value)
    assert ast.literal_eval(text) == value
    assert text.isprintable()
