"""Starts of the small program of `survival`, changed in one way."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from backends.program import Program
from tests.programs.fleet import Fleet, Start, output
from tests.programs.support import replaced, write
from tests.programs.survival import (
    WORLD,
    Reference,
    small,
)


def again(whole: Reference, place: Path, *arguments: str) -> Start:
    """A start in `place`, from a copy of the whole run."""
    if not (place / "run").exists():
        shutil.copytree(whole.folder / "run", place / "run")
    start = whole.start_in(place)
    return Start(start.folder, place, WORLD, (*start.arguments, *arguments))


def with_values(whole: Reference, place: Path, **values: object) -> Start:
    """A start of the program with other constants, in `place`."""
    made: Program = replaced(small(whole.folder), **values)
    start = whole.start_in(place)
    return Start(write(made, place / "out"), place, WORLD, start.arguments)


def edited(start: Start, *edits: tuple[str, str]) -> Start:
    """The same start of a program in which these texts, each there once, are replaced."""
    for old, new in edits:
        paths = start.folder.glob("*.py")
        (path,) = [path for path in paths if path.read_text().count(old) == 1]
        path.write_text(path.read_text().replace(old, new))
    return start


def until(said: str, fleet: Fleet, rank: int = 0) -> None:
    """Wait until a rank has printed something."""
    late = time.monotonic() + 60
    while said not in output(fleet.start, rank).read_text():
        assert time.monotonic() < late, fleet.said()
        time.sleep(0.05)
