"""What is installed: the four packages with their data, and a start that loads no torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.llama"


def test_wheel_holds_the_four_packages_and_their_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "dsl",
        "compiler",
        "backends",
        "llamac",
    }
    for folder, suffix in (
        ("dsl/", ".lark"),
        ("dsl/", ".json"),
        ("compiler/std/", ".llama"),
        ("backends/pytorch/templates/", ".j2"),
    ):
        on_disk = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob(f"*{suffix}")}
        assert on_disk
        assert on_disk <= set(names)


def modules_after(*arguments: str, cwd: Path) -> set[str]:
    """Names of all modules loaded by the time `llamac ARGUMENTS` exits with 0."""
    code = (
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from llamac.cli import main\n"
        f"sys.argv = ['llamac', *{list(arguments)!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        "print('\\n'.join(['', 'MODULES', *sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("\nMODULES\n")[1].split())


def test_help_loads_the_command_line_only(tmp_path: Path) -> None:
    loaded = modules_after("--help", cwd=tmp_path)
    assert not {"torch", "lark", "jinja2", "rich", "compiler.pipeline", "dsl.parser"} & loaded


def test_checking_planning_and_compiling_load_no_torch(tmp_path: Path) -> None:
    spec = str(QUICKSTART)
    for arguments in (
        ["check", spec],
        ["plan", spec, "--json"],
        ["explain", spec, "parameters"],
        ["compile", spec, "-o", "out"],
    ):
        assert "torch" not in modules_after(*arguments, cwd=tmp_path)
