"""An interpreter for generated programs that has imported torch already.

`python()` gives the path of a stand-in for `sys.executable`. Run with a `train.py`, it asks the
server of this test process for a fork, hands over its arguments, environment, working directory,
limits, ignored signals and standard streams, passes signals on, and ends as the fork ends; run with
anything else, it becomes the real interpreter. A rank so starts in 0.1 s instead of 4.
To use it: pass its path as PYTHON to `launch/local.sh`, as `tests.programs.support` does.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SCRIPT = """#!/bin/sh
case "$1" in
*train.py) exec '{real}' -IS '{ask}' '{name}' "$@" ;;
esac
exec '{real}' "$@"
"""


@cache
def python() -> str:
    """Starts the server of this process on first use; it ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="llamac-warm-"))
    stand_in = folder / "python"
    # Linux's abstract names need no file, whose path might be too long for a socket
    name = f"llamac-warm-{os.getpid()}-{folder.name}"
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{name}")
        listener.listen(64)  # who asks before the server has imported everything waits here
        server = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(listener.fileno())],
            stdin=reader,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])},
            pass_fds=[listener.fileno()],
            start_new_session=True,  # a Ctrl-C of a test is not for the server
        )
    os.close(reader)  # the writer stays open as long as this process lives
    stand_in.write_text(SCRIPT.format(real=sys.executable, ask=HERE / "ask.py", name=name))
    stand_in.chmod(0o755)
    atexit.register(_end, server, writer, folder)
    return str(stand_in)


def _end(server: subprocess.Popen[bytes], writer: int, folder: Path) -> None:
    os.close(writer)
    server.wait()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
