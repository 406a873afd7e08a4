"""A fork of the server is what the interpreter would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import warm

WHAT = """
import os, resource, signal, sys
print(__name__, sys.argv[1:], os.getcwd(), os.environ["WORD"], sys.path[0], "torch" in sys.modules)
print(resource.getrlimit(resource.RLIMIT_FSIZE)[0], signal.getsignal(signal.SIGHUP).name)
print(sys.stdin.read(), file=sys.stderr)
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "program" / "train.py"
    path.parent.mkdir()
    path.write_text(text)
    return path


def started(path: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # pyright: ignore[reportCallIssue, reportArgumentType]
        [warm.python(), str(path)], stdout=subprocess.PIPE, text=True, **options
    )


def test_it_gets_all_that_an_interpreter_gets(tmp_path: Path) -> None:
    path = script(tmp_path, WHAT)
    done = subprocess.run(
        [
            "bash",
            "-c",
            'trap "" HUP; ulimit -f 64; exec "$0" "$@"',
            warm.python(),
            path,
            "a",
            "b c",
        ],
        cwd=tmp_path,
        env={**os.environ, "WORD": "here"},
        input="said",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"__main__ ['a', 'b c'] {tmp_path} here {path.parent} True",
        f"{64 * 1024} SIG_IGN",
    ]
    assert done.stderr == "said\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(78)", 78),
        ("raise ValueError", 1),
        ("import os; os._exit(75)", 75),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_it_ends_as_the_script_ends(tmp_path: Path, text: str, code: int) -> None:
    with started(script(tmp_path, text), stderr=subprocess.DEVNULL) as process:
        assert process.wait() == code


def test_signals_reach_the_script(tmp_path: Path) -> None:
    text = "import signal, sys, time\n"
    text += "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('up', flush=True)\n"
    with started(script(tmp_path, text + "time.sleep(600)")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 7


def test_a_script_dies_with_what_stands_for_it(tmp_path: Path) -> None:
    text = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    with started(script(tmp_path, text)) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)


def test_anything_else_is_for_the_real_interpreter() -> None:
    code = "import sys; print('torch' in sys.modules)"
    done = subprocess.run([warm.python(), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
