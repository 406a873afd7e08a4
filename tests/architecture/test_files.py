"""What stands in the repository: short files, and nothing that only one machine knows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LONGEST = 400  # lines of a source, a template or a test

# Folders of one machine, and hosts that serve packages: neither belongs into a file of ours.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home|Users|opt|mnt)/\w")
REGISTRIES = re.compile(r"(?:https?|file)://[^\s\"')>]*(?:pypi|pythonhosted|npmjs|simple/)", re.I)


def listed(*which: str) -> list[Path]:
    """What git lists by these options."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--exclude-standard", *which],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name]


def tracked() -> list[Path]:
    paths = listed("--cached", "--others")
    return [path for path in paths if path.is_file() and path != Path(__file__)]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_no_source_is_ignored() -> None:
    """Or it would be tested here, and be missing in every clone."""
    folders = ("dsl", "compiler", "backends", "llamac", "examples", "tests", "benchmarks", "docs")
    ignored = listed("--others", "--ignored", "--", *folders, "scripts")
    sources = {".py", ".j2", ".md", ".llama", ".lark", ".sh", ".sbatch", ".json", ".toml", ".patch"}
    assert [path for path in ignored if path.suffix in sources] == []


def test_files_are_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(text_of(path).splitlines())
        for path in tracked()
        if path.suffix in {".py", ".j2"}
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        for pattern in (MACHINE_PATHS, REGISTRIES)
        for match in pattern.finditer(text_of(path))
    ]
    assert found == []


def test_no_file_promises_instead_of_doing() -> None:
    """No notes to oneself: what is missing is said in an issue, or refused by an error."""
    note = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        if path.suffix in {".py", ".j2", ".llama", ".sh", ".toml"}
        for match in note.finditer(text_of(path))
    ]
    assert found == []


def test_lock_pins_exactly() -> None:
    pins = [
        line
        for name in ("requirements.lock", "requirements-dev.lock")
        for line in (ROOT / name).read_text().splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    assert "torch==2.13.0" in pins
