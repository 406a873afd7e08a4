"""How the tests of the face call it in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llamac.cli.commands import cli
from tests import warm
from tests.face.calling import Invoke


@pytest.fixture
def llamac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`llamac("check", "a.llama")` in an empty directory; colour as for a pipe. What it starts has
    imported torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", warm.python())
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="llamac", catch_exceptions=False)

    return invoke
