"""Where a rank that makes no progress waits: which collective, over which axis, on which line.

A thread of each rank answers a signal of the parent, since the rank itself is stuck in a call. The
line comes from the Python stack, the collective from torch's flight recorder, which also knows
those that a backward or FSDP started: there the stack shows only the line that called them.
"""

from __future__ import annotations

import json
import linecache
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TypedDict, cast

import torch.distributed as dist
from torch._C import _distributed_c10d as recorder

REQUEST = signal.SIGUSR2
RECORDED = {"TORCH_FR_BUFFER_SIZE": "2000"}
"""Environment that turns the flight recorder on; read when the first group is made."""


class Entry(TypedDict):
    """What is used of an entry of the flight recorder."""

    profiling_name: str
    process_group: tuple[str, str]
    retired: bool


def answer_requests(path: Path, program: Path, groups: Mapping[str, dist.ProcessGroup]) -> None:
    """Starts the thread. `groups` (axis -> group) may fill up later. Call on the main thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {REQUEST})  # threads inherit it: only ours takes it
    main = threading.get_ident()

    def answer() -> None:
        while True:
            signal.sigwait({REQUEST})
            stack = sys._current_frames()[main]  # pyright: ignore[reportPrivateUsage]  documented
            text = where(stack, program, groups)
            path.with_suffix(".part").write_text(text, encoding="utf-8")
            path.with_suffix(".part").rename(path)

    threading.Thread(target=answer, daemon=True).start()


def where(frame: FrameType, program: Path, groups: Mapping[str, dist.ProcessGroup]) -> str:
    """`reduce_scatter over tp, at model.py:75: the line`"""
    waiting = " and ".join(pending(groups)) or f"no collective, in {innermost(frame)}"
    lines = list(own_lines(frame, program))
    helpers = [line for line in lines if line.startswith("parallel.py")]
    callers = [line for line in lines if not line.startswith("parallel.py")]
    through = f", in {helpers[0]}" if helpers and lines[0] == helpers[0] else ""
    return f"waits in {waiting}, at {callers[0] if callers else 'an unknown line'}{through}"


def innermost(frame: FrameType) -> str:
    """`_wait_batch_p2p of schedules.py`. Gloo does not record what it sends and receives."""
    return f"{frame.f_code.co_name} of {Path(frame.f_code.co_filename).name}"


def own_lines(frame: FrameType | None, program: Path) -> Iterator[str]:
    """Lines of the program on the stack, the innermost first."""
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.parent == program:
            text = linecache.getline(str(file), frame.f_lineno).strip()
            yield f"{file.name}:{frame.f_lineno}: {text}"
        frame = frame.f_back


def pending(groups: Mapping[str, dist.ProcessGroup]) -> list[str]:
    """Collectives that this rank has started and that are not done, each once. The recorder's
    answer has no types; `Entry` is what it is."""
    axes = {str(group.group_name): axis for axis, group in groups.items()}
    recorded = cast("Callable[[bool, bool], bytes]", vars(recorder)["_dump_fr_trace_json"])
    dump = cast("dict[str, list[Entry]]", json.loads(recorded(True, False)))
    names = [
        f"{entry['profiling_name'].removeprefix('gloo:')} over "
        f"{axes.get(entry['process_group'][0], 'all ranks')}"
        for entry in dump.get("entries", [])  # absent before the first collective
        if not entry["retired"]
    ]
    return list(dict.fromkeys(names))
