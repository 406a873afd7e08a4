"""The mutation campaign: small mistakes in emitted programs, each of which the check must notice.

`python -m tests.twin.campaign FOLDER [--each N]` runs N mutants of each layout, drawn by a seed,
and adds one line each to `FOLDER/LAYOUT.jsonl`; started again, it goes on after the last. The exit
code is 1 if one survived that `equivalent_mutants.py` does not explain.
"""

from __future__ import annotations

import argparse
import difflib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from backends.emit import emit
from compiler.schema import PlanSpec
from compiler.schema.train import EvalSpec
from compiler.twin.twins import twins_of
from llamac.verify.twin import Limits, Prepared, prepare_twin, run_twin
from llamac.verify.unexecuted import called_functions
from llamac.verify.verify import CONFIG, compile_twin, modules, twin_config
from tests.twin.equivalent_mutants import reason
from tests.twin.layouts import LAYOUTS, VALIDATED, Spread, llama, plan
from tests.twin.mutants import Mutant, mutants
from tests.twin.programs import compiled

SEED = 10
EACH = 300
SAMPLED = EvalSpec(every=10, prompt="once")

CAMPAIGN: dict[str, PlanSpec] = {
    "fsdp2": plan(llama(12), Spread(dp=2, fsdp=2, microbatches=3, sharding="zero2")),
    "tp2": plan(llama(12, tied=True), Spread(tp=2), data=VALIDATED, eval=SAMPLED),
    "cp3": plan(llama(12), Spread(cp=3, fsdp=3), data=VALIDATED, eval=SAMPLED),
    "pp3": plan(llama(12, tied=True), Spread(pp=3, microbatches=4), data=VALIDATED, eval=SAMPLED),
    "zero1": plan(llama(12), Spread(dp=2, fsdp=2, sharding="zero1")),
    "kv-copies": LAYOUTS["tp4 > kv heads"],
}

SILENT = 8.0
"""Seconds without progress after which a mutant hangs, at least; more where a step takes long."""
LONG = 6
"""Times the time of all steps of the correct program, of which each is a sign of progress."""


@dataclass(frozen=True)
class Outcome:
    """`caught` is how the check noticed: the first observable, `stopped` or `silent`; '' for a
    survivor."""

    key: str
    operator: str
    caught: str


class Layout:
    """A plan's first twin, warm: torch imported, data written, the reference computed."""

    def __init__(self, spec: PlanSpec, folder: Path) -> None:
        built = compiled(spec)
        twin = twins_of(spec, *built.plan.phases)[0]
        text = dict(emit(compile_twin("plan", twin)).files)
        self.files = modules(text)
        self.files[CONFIG] = twin_config(text[CONFIG], twin, folder)
        self.prepared: Prepared = prepare_twin(twin, folder)
        correct = run_twin(self.files, self.prepared, Limits())  # with the time of the reference
        assert correct.ok, correct
        begun = time.monotonic()
        run_twin(self.files, self.prepared, Limits())
        self.patience = max(SILENT, LONG * (time.monotonic() - begun))
        self.axes = [name for name, size in correct.sizes if size > 1 and name in AXES]
        self.executed = _in_scope(self.files, correct.executed)

    def chosen(self) -> list[Mutant]:
        """All mutants, in an order that the seed decides."""
        found = {mutant.key: mutant for mutant in mutants(self.files, self.executed, self.axes)}
        order = [*found.values()]
        random.Random(SEED).shuffle(order)
        return order

    def judge(self, mutant: Mutant) -> Outcome:
        limits = Limits(patience=self.patience, grace=0.0)
        scratch = "mutant"
        shutil.rmtree(self.prepared.folder / scratch, ignore_errors=True)
        files = {**self.files, mutant.file: mutant.text}
        result = run_twin(files, self.prepared, limits, scratch)
        if result.stopped:
            silent = result.stopped[0].message.startswith("no progress")
            return Outcome(mutant.key, mutant.operator, "silent" if silent else "stopped")
        first = result.differences[0].observable if result.differences else ""
        return Outcome(mutant.key, mutant.operator, first)


AXES = ("replicate", "fsdp", "tp", "cp", "pp")


def _in_scope(
    files: Mapping[str, str], executed: Mapping[str, frozenset[int]]
) -> dict[str, frozenset[int]]:
    """Executed lines of what the check answers for: of train.py the functions that twins call."""
    scope = {name: executed[name] for name in ("data.py", "model.py", "parallel.py")}
    scope["train.py"] = executed["train.py"] & called_functions(files["train.py"])
    return scope


def judged(file: Path) -> dict[str, Outcome]:
    """What earlier runs have found. A line that was cut short counts for nothing."""
    found: dict[str, Outcome] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            row = cast("dict[str, str]", json.loads(line))
        except ValueError:
            continue
        found[row["key"]] = Outcome(row["key"], row["operator"], row["caught"])
    return found


def campaign(name: str, folder: Path, each: int) -> Iterator[tuple[Mutant, Outcome]]:
    """Outcomes of the first `each` mutants of a layout; those that are known are not run again."""
    file = folder / f"{name}.jsonl"
    known = judged(file)
    with tempfile.TemporaryDirectory(prefix="llamac-mutants-") as scratch:
        layout = Layout(CAMPAIGN[name], Path(scratch))
        for mutant in layout.chosen()[:each]:
            outcome = known.get(mutant.key)
            if outcome is None:
                outcome = layout.judge(mutant)
                row = {"key": mutant.key, "operator": mutant.operator, "caught": outcome.caught}
                with file.open("a", encoding="utf-8") as results:
                    results.write(json.dumps(row) + "\n")
            if not outcome.caught and not reason(name, mutant.key):
                print(difference(layout.files[mutant.file], mutant), flush=True)
            yield mutant, outcome


def difference(before: str, mutant: Mutant) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), mutant.text.splitlines(), mutant.file, mutant.operator, n=1
    )
    return "\n".join([f"survived: {mutant.key}", *lines])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=EACH, help="mutants of each layout")
    parser.add_argument("--layout", choices=CAMPAIGN, action="append")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    unexplained = 0
    for name in args.layout or CAMPAIGN:
        outcomes = list(campaign(name, args.folder, args.each))
        survived = [mutant.key for mutant, outcome in outcomes if not outcome.caught]
        unknown = [key for key in survived if not reason(name, key)]
        unexplained += len(unknown)
        caught = len(outcomes) - len(survived)
        equivalent = len(survived) - len(unknown)
        print(
            f"{name}: {len(outcomes)} mutants, {caught} caught, {equivalent} equivalent, "
            f"{len(unknown)} unexplained",
            flush=True,
        )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
