"""Why a run failed, reported once: by process 0 on its terminal, whichever process met the cause.

Every process has the details in its own log. The first cause wins: what follows in other processes,
such as a lost connection, is a consequence of it.
"""

# pyright: reportPrivateImportUsage=false
import json
import os
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple, NoReturn

import torch.distributed as dist

from launcher import WRONG

PATIENCE = 5.0  # seconds for process 0 to print what another process met
LEAVING = threading.Lock()  # held by the thread that ends this process


class Cause(NamedTuple):
    code: int  # exit code
    text: str  # for the terminal


def channel() -> dist.Store:
    """A second connection to the store of process 0: the first may be waiting in another thread.
    OSError if nobody serves it: torch itself would try for long, and print every attempt."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    socket.create_connection((host, port), PATIENCE).close()
    world, limit = int(os.environ["WORLD_SIZE"]), timedelta(seconds=PATIENCE)
    store = dist.TCPStore(host, port, world, False, limit, wait_for_workers=False)
    return dist.PrefixStore(f"failure/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def first_cause(store: dist.Store, own: Cause | None = None) -> Cause | None:
    """What the first process that failed left in the store: `own`, where none did before."""
    if own is not None:
        return Cause(*json.loads(store.compare_set("cause", "", json.dumps(own))))
    return Cause(*json.loads(store.get("cause"))) if store.check(["cause"]) else None


class Listener(threading.Thread):
    """In process 0: notices that another process failed, also while this one waits for it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        if os.environ["RANK"] == "0" and os.environ["WORLD_SIZE"] != "1":
            self.start()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            with suppress(OSError, RuntimeError):  # the store is not there yet
                store = channel()
                while not self.ended.wait(0.5):
                    if cause := first_cause(store):
                        leave(cause, store)

    def stop(self) -> None:
        """Before the store goes: asking it then would print warnings of torch."""
        self.ended.set()
        if self.is_alive():
            self.join()


def fail(error: Exception, code: int = 1) -> NoReturn:
    """End this process, whose log has the details, with `code` or that of the first cause."""
    lost = isinstance(error, dist.DistError) or "gloo/transport" in str(error)
    first = os.environ["RANK"] == "0"
    if lost and not first:  # a consequence, which leaves after its cause
        time.sleep(2)
        os._exit(code)
    text = f"process {os.environ['RANK']} failed:\n{''.join(traceback.format_exception(error))}"
    if lost:
        text = "error: lost the connection to another process, which has ended"
    own = Cause(code, f"error: {error}" if code == WRONG else text.rstrip())
    with suppress(OSError, RuntimeError):
        store = channel()
        leave((first_cause(store) if lost else first_cause(store, own)) or own, store)
    leave(own)


def leave(cause: Cause, store: dist.Store | None = None) -> NoReturn:
    """Process 0 prints the cause. Another waits until it has, or prints it where it does not."""
    LEAVING.acquire()
    first, printed, until = os.environ["RANK"] == "0", False, time.monotonic() + PATIENCE
    with suppress(RuntimeError):
        while store and not first and not printed and time.monotonic() < until:
            printed = store.check(["printed"])
            time.sleep(0.1)
    if not printed:
        print(cause.text, file=sys.stderr, flush=True)
    with suppress(RuntimeError):
        if store and first:
            store.set("printed", "")
            time.sleep(0.3)  # until the others have seen it: the store ends with this process
    os._exit(cause.code)  # open groups have threads that can crash Python's own exit
