"""How the tests of `llamac prepare` call it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llamac.cli.commands import cli
from llamac.prepare import documents
from tests.prepare.calling import Prepare
from tests.prepare.corpora import spec


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """`prepare('jsonl { ... }', "--processes", "2", vocab=300)` in an empty directory; what was
    prepared is in `prepared/main`, unless a test says otherwise. One process by default."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def invoke(data: str, *arguments: str, vocab: int = 256, seq_len: int = 1) -> Result:
        Path("run.llama").write_text(spec(data, vocab, seq_len))
        said = ("prepare", "run.llama", "--processes", "1", *arguments)
        return CliRunner().invoke(cli, said, prog_name="llamac", catch_exceptions=False)

    return invoke


@pytest.fixture
def unit_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`unit_of(64)`: units of work, which are a MiB at least, may be so many bytes."""

    def set_smallest(size: int) -> None:
        monkeypatch.setattr(documents, "SMALLEST_UNIT", size)

    return set_smallest
