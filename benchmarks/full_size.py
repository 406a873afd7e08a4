"""Figures of the published 405B run at its real size: compile, program, dry run.

    python benchmarks/full_size.py [--example NAME] [--plan NAME]

Times are wall-clock times of one fresh process each, memory the most that a process of it held.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from compiler.pipeline import check_lowered, compile_named
from llamac.api import load

ROOT = Path(__file__).parents[1]
LLAMAC = (sys.executable, "-m", "llamac")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def measured(name: str, command: tuple[str, ...], output: Path) -> None:
    """Run a command, its stdout into a file, and print what it took."""
    start = time.perf_counter()
    with output.open("wb") as file:
        redirect = [(os.POSIX_SPAWN_DUP2, file.fileno(), 1)]
        pid = os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=redirect)
        _, status, usage = os.wait4(pid, 0)
    taken = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    held = usage.ru_maxrss / 1024
    print(f"  {name:<36} {taken:8.2f} s {held:8,.0f} MiB{'' if code == 0 else f'   EXIT {code}'}")


def dry_run(found: dict[str, Any]) -> None:
    print(f"  collectives equal the rank program's: {'yes' if found['ok'] else 'NO'}")
    for rank in found["ranks"]:
        most = sum(rank["peak"].values()) / 2**30
        saved = sum(rank["saved"].values()) / 2**30
        predicted = sum(rank["predicted"].values()) / 2**30
        process = rank["process_bytes"] / 2**20
        where = f"{rank['phase']:<8} {rank['name']:<10} rank {rank['rank']:>6,}"
        print(
            f"  {where}: peak {most:6.2f} GiB, between passes {saved:6.2f}, "
            f"predicted {predicted:6.2f}; its process {process:5,.0f} MiB"
        )


def check_between_phases(spec: Path, plan: str) -> None:
    """CPU time of the check that follows lowering, of all phases; the best of five."""
    found = load(spec).spec
    compiled = None if found is None else compile_named(found, plan).compiled
    if compiled is None:
        raise SystemExit(f"{spec}: plan {plan} does not compile")
    times: list[float] = []
    for _ in range(5):
        start = time.process_time()
        for phase, program in zip(compiled.plan.phases, compiled.programs, strict=True):
            check_lowered(phase, program)
        times.append(time.process_time() - start)
    print(f"  {'check of the rank programs':<36} {min(times):8.4f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description="print figures of an example at its real size")
    parser.add_argument("--example", default="llama3-405b")
    parser.add_argument("--plan", default="main")
    arguments = parser.parse_args()
    spec = (str(ROOT / "examples" / f"{arguments.example}.llama"), arguments.plan)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program, output = folder / "program", folder / "stdout"
        print(f"{arguments.example}, plan {arguments.plan}")
        measured("llamac plan", (*LLAMAC, "plan", *spec), output)
        check_between_phases(Path(spec[0]), spec[1])
        measured("llamac compile", (*LLAMAC, "compile", *spec, "-o", str(program)), output)
        texts = [path.parent for path in program.rglob("config.py")]  # the longest program
        one = max(texts, key=lambda folder: sum(len(p.read_text()) for p in folder.glob("*.py")))
        files = [path for path in one.glob("*.py") if path.name != "config.py"]
        lines = {path: len(path.read_text().splitlines()) for path in files}
        print(f"  {'lines of .py but config.py':<36} {sum(lines.values()):8,}")
        longest = max(n for path, n in lines.items() if path.name == "model.py")
        print(f"  {'lines of model.py':<36} {longest:8,}")
        measured("llamac dryrun", (*LLAMAC, "dryrun", *spec, "--json"), output)
        dry_run(json.loads(output.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
