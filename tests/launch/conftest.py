"""Fixtures of the launch tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launch.desk import COMMANDS, Desk
from tests.launch.specs import program, written


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    (folder / "bin").mkdir(parents=True)
    for name, text in COMMANDS.items():
        command = folder / "bin" / name
        command.write_text(f"#!/usr/bin/env bash\n{text}\n")
        command.chmod(0o755)
    made = Desk(folder, written(program(), tmp_path))
    made.does("exit 0")
    return made
