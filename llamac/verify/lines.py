"""Which lines of a program a process executes. The tracer looks at the program's own files only."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction


class ExecutedLines:
    """Collects lines from `start` to `stop`, of the calling thread."""

    def __init__(self, program: Path) -> None:
        self._prefix = f"{program}/"
        self._left: dict[CodeType, set[int]] = {}  # lines of a function that have not run yet
        self._seen: dict[str, set[int]] = {}

    def start(self) -> None:
        sys.settrace(self._enter)

    def stop(self) -> dict[str, list[int]]:
        """File name -> the lines that ran."""
        sys.settrace(None)
        return {name: sorted(lines) for name, lines in self._seen.items()}

    def _enter(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        """Called for every function of the process: None leaves it alone, at full speed."""
        code = frame.f_code
        if not code.co_filename.startswith(self._prefix):
            return None
        left = self._left.get(code)
        if left is None:
            left = {line for _, _, line in code.co_lines() if line is not None}
            self._left[code] = left
        return self._line if left else None

    def _line(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        if event == "line":
            code, line = frame.f_code, frame.f_lineno
            self._left[code].discard(line)
            self._seen.setdefault(Path(code.co_filename).name, set()).add(line)
        return self._line
