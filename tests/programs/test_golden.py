"""The program of the quickstart, as a reviewed text: `--update-golden` rewrites it."""

from __future__ import annotations

import shutil
from pathlib import Path

from backends.pytorch import emit
from llamac import api
from tests.programs.support import write

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "quickstart" / "program"


def test_quickstart(update_golden: bool) -> None:
    planned = api.plan(ROOT / "examples" / "quickstart.llama")
    made = emit(planned.compiled("laptop"), planned.origins)
    if update_golden:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        write(made, GOLDEN)
    files = {
        path.relative_to(GOLDEN).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(GOLDEN.rglob("*"))
        if path.is_file() and ".ruff_cache" not in path.parts  # ruff, run here, leaves one
    }
    assert files == dict(made.files)
