"""Figures of the tool itself: start-up, compile time, size of programs, time of a check.

    python benchmarks/measure.py [--runs N]

Each time is the median wall-clock time of N runs of a fresh process, with smallest and largest.
Commands that are compared run in turn, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICKSTART = str(ROOT / "examples" / "quickstart.llama")
LLAMAC = (sys.executable, "-m", "llamac")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def seconds(command: Sequence[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return time.perf_counter() - start


def compare(commands: dict[str, Sequence[str]], runs: int, folder: Path) -> None:
    """One line a command: the median of its runs, taken in turn after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(command, folder)
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command, folder))
    for name, taken in times.items():
        median, low, high = statistics.median(taken), min(taken), max(taken)
        print(f"  {name:<36} {median:8.3f} s   ({low:.3f} to {high:.3f}, {runs} runs)")


def program_lines(folder: Path) -> None:
    total = 0
    for path in sorted(folder.rglob("*.py")):
        count = len(path.read_text().splitlines())
        print(f"  {path.relative_to(folder).as_posix():<36} {count:8,}")
        total += 0 if path.name == "config.py" else count
    print(f"  {'all but config.py':<36} {total:8,}")


def main() -> int:
    parser = argparse.ArgumentParser(description="print figures of the tool itself")
    parser.add_argument("--runs", type=int, default=9, help="runs of each short command")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("start-up")
        compare(
            {
                "python, nothing else": (sys.executable, "-c", "pass"),
                "llamac --help": (*LLAMAC, "--help"),
                "llamac check quickstart": (*LLAMAC, "check", QUICKSTART),
            },
            runs,
            folder,
        )
        print("compile")
        compare(
            {
                "llamac plan quickstart": (*LLAMAC, "plan", QUICKSTART),
                "llamac compile quickstart": (*LLAMAC, "compile", QUICKSTART, "-o", "program"),
            },
            runs,
            folder,
        )
        print("lines of the generated program")
        program_lines(folder / "program")
        print("twin check")
        compare({"llamac verify quickstart": (*LLAMAC, "verify", QUICKSTART)}, 3, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
