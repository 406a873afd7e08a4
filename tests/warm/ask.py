"""ask.py NAME SCRIPT ARGUMENTS...: run SCRIPT in a fork of the server, and end as it ends.

Imports nothing that takes time. Started by the stand-in of `tests.warm`.
"""

from __future__ import annotations

import array
import json
import os
import resource
import signal
import socket
import sys

PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGQUIT")
LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_AS)


def main() -> None:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    names = [
        name for name in PASSED_ON if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN
    ]
    early: list[int] = []
    child: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if child:
            os.kill(child[0], number)
        else:
            early.append(number)

    for name in names:
        signal.signal(getattr(signal, name), pass_on)
    ignored = [n for n in PASSED_ON if signal.getsignal(getattr(signal, n)) == signal.SIG_IGN]
    mask = os.umask(0)
    request = {
        "arguments": sys.argv[2:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "limits": [(limit, resource.getrlimit(limit)) for limit in LIMITS],
        "ignored": ignored,
        "umask": mask,
    }
    text = json.dumps(request).encode()
    server.connect(f"\0{sys.argv[1]}")
    streams = array.array("i", [0, 1, 2])
    header = len(text).to_bytes(8, "big")
    server.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    server.sendall(text)
    replies = server.makefile("rb")
    child.append(int(replies.readline()))
    for number in early:
        os.kill(child[0], number)
    status = replies.readline()
    code = os.waitstatus_to_exitcode(int(status)) if status else 125
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
