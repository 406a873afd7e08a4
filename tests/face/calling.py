"""How the tests of the face call it in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from click.testing import Result

from tests import warm

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.llama"

Invoke = Callable[..., Result]


def process(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`llamac ARGUMENTS` as a process of its own. What it starts has imported torch."""
    code = "from llamac.cli import main; main()"
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
            f"sys.executable = {warm.python()!r}; {code}",
            *arguments,
        ],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
