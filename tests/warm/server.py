"""server.py DESCRIPTOR: imports what programs import of torch, then forks once for every request.

Single-threaded, so that a fork inherits no lock. A child whose asker is gone is killed, as it would
be gone itself; all end when standard input closes, that is with the process of the tests.
"""

from __future__ import annotations

import array
import contextlib
import faulthandler
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "golden"


class Run(BaseException):
    """Unwinds to the top of this file, where a child runs its script as the interpreter would."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request


def serve(listener: socket.socket) -> NoReturn:
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ended, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    askers: dict[int, socket.socket] = {}  # child -> who waits for it
    while True:
        readable, _, _ = select.select([listener, 0, ended, *askers.values()], [], [])
        if ended in readable:
            os.read(ended, 4096)
        for child in list(askers):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                asker = askers.pop(child)
                with contextlib.suppress(OSError):
                    asker.sendall(b"%d\n" % status)
                asker.close()
        if listener in readable:
            asker, _ = listener.accept()
            try:
                request, streams = received(asker)
            except OSError:  # killed while it asked
                asker.close()
                continue
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                for other in (listener, asker, *askers.values()):
                    other.close()
                os.close(wake)
                os.close(ended)
                for number, descriptor in enumerate(streams):
                    os.dup2(descriptor, number)
                    os.close(descriptor)
                raise Run(request)
            for descriptor in streams:
                os.close(descriptor)
            askers[child] = asker
            with contextlib.suppress(OSError):  # seen below, when its socket is at its end
                asker.sendall(b"%d\n" % child)
        for child, asker in askers.items():
            if asker in readable:
                try:
                    gone = not asker.recv(1)
                except OSError:
                    gone = True
                if gone:
                    os.kill(child, signal.SIGKILL)
        if 0 in readable:
            for child in askers:
                os.kill(child, signal.SIGKILL)
            os._exit(0)


def received(asker: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What is asked for, and the standard streams that came with it."""
    streams = array.array("i")
    header, ancillary, _, _ = asker.recvmsg(8, socket.CMSG_LEN(3 * streams.itemsize))
    for _, _, data in ancillary:
        streams.frombytes(data)
    size = int.from_bytes(header, "big")
    text = b""
    while len(text) < size:
        part = asker.recv(size - len(text))
        if not part:
            raise ConnectionResetError
        text += part
    return json.loads(text), list(streams)


def prepare(request: dict[str, Any]) -> str:
    """Make this process what the asker is; the script's path."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in request["ignored"]:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    os.chdir(request["folder"])
    for limit, values in request["limits"]:
        resource.setrlimit(limit, tuple(values))
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", 1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    faulthandler.enable(2)  # a crash in C says where: in a fork, PYTHONFAULTHANDLER comes too late
    script = request["arguments"][0]
    sys.argv = request["arguments"]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    # a test's own modules come first, as PYTHONPATH would have them
    extra = request["environment"].get("PYTHONPATH", "")
    sys.path[1:1] = [part for part in extra.split(os.pathsep) if part]
    return script


def imports() -> None:
    """What the golden programs import of torch."""
    from llamac.verify.execute import import_ahead

    for config in PROGRAMS.glob("*/program/config.py"):
        import_ahead({path.name: path.read_text() for path in config.parent.glob("*.py")})
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("llamac", "compiler", "dsl")
    ]:
        del sys.modules[name]


if __name__ == "__main__":
    imports()
    sys.path.remove(str(ROOT))
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    except Run as asked:
        script = prepare(asked.request)
    runpy.run_path(script, run_name="__main__")
