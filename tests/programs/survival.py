"""Trials of survival: ranks killed at any instant, checkpoints corrupted in every way.

A run of a tiny model is the reference. A trial disturbs another run of it, lets it go on, and
compares: the loss log, and every tensor of the last checkpoint, bit for bit.

    python -m tests.programs.survival [--trials 200] [--first 0] [--seed 0] [--only kills]

`--first 17 --trials 1` repeats trial 17 (instants of kills come again only as well as sleep does).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backends.program import Program
from tests.programs.fleet import Fleet, Start, imports, run
from tests.programs.support import program, replaced, write, write_text

STEPS, EVERY, KEPT = 12, 2, 3
WORLD = 2
DEFINED_BY_THE_RUN = ("step", "loss", "val_loss", "grad_norm", "lr", "tokens", "skipped")
"""Keys of metrics.jsonl; the others are measured."""
CORRUPTIONS = ("flip", "truncate", "delete", "swap", "stale")


@dataclass(frozen=True)
class Reference:
    """An undisturbed run in `folder`, which has the program and the data as well."""

    folder: Path
    seconds: float

    @property
    def start(self) -> Start:
        return Start(self.folder / "out", self.folder, WORLD)

    def start_in(self, place: Path, program: str = "out") -> Start:
        """The same run in the folder `place`/run. The program `frugal` keeps one checkpoint."""
        data = ("--data", str(self.folder / "train"), "--run", "run")
        return Start(self.folder / program, place, WORLD, data)


def small(folder: Path) -> Program:
    """Two ranks, sharded; a checkpoint every second step, so that much of the time is a save's."""
    made = program(
        ("cluster.node.devices", str(WORLD)),
        ("tp", "1"),
        ("train.data.validation", json.dumps(str(folder / "validation"))),
        ("train.checkpoint", f"checkpoint {{ every = {EVERY}, keep = {KEPT} }}"),
        ("train.guard", "guard { patience = 20s }"),
    )
    return replaced(made, STEPS=STEPS)


def reference(folder: Path) -> Reference:
    """The data, and the run that the others are compared with."""
    write_text(folder)
    made = small(folder)
    imports(made)
    write(made, folder / "out")
    write(replaced(made, CHECKPOINTS_KEPT=1), folder / "frugal")
    whole = Reference(folder, 0.0)
    began = time.monotonic()
    codes, said = run(Start(whole.start.folder, folder, WORLD, ("--run", "run")))
    assert codes == [0] * WORLD, said
    return Reference(folder, time.monotonic() - began)


def log_of(run: Path) -> list[Mapping[str, object]]:
    """What a run defines of its loss log, in the order written."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: json.loads(line)[key] for key in DEFINED_BY_THE_RUN} for line in lines]


def saved(run: Path, step: int = STEPS) -> dict[str, bytes]:
    """What a checkpoint holds, tensor by tensor: files order their headers as they please."""
    folder = run / "checkpoints" / f"step-{step}"
    held = {"state.json": (folder / "state.json").read_bytes()}
    for file in folder.glob("*.safetensors"):
        content = file.read_bytes()  # the length of a header in JSON, the header, the tensors
        start = 8 + int.from_bytes(content[:8], "little")
        for name, tensor in json.loads(content[8:start]).items():
            if name != "__metadata__":
                first, last = tensor.pop("data_offsets")
                held[f"{file.name}: {name} {tensor}"] = content[start + first : start + last]
    return held


@dataclass
class Figures:
    """What a campaign counted."""

    trials: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    slowest: float = 0.0

    def compare(self, whole: Path, found: Path, what: str) -> None:
        if log_of(found) != log_of(whole):
            self.failures[what] = "another loss log"
        if saved(found) != saved(whole):
            self.failures[what] = "other weights"


def kill_trial(whole: Reference, place: Path, rng: random.Random, figures: Figures) -> None:
    """Kill some ranks at a random instant, up to three times; the others must end by themselves,
    neither well nor for good; then let the run finish."""
    place.mkdir()
    what = place.name
    start = whole.start_in(place, rng.choice(("out", "frugal")))
    left, latest = rng.randint(1, 3), 1.1 * whole.seconds
    while left:
        fleet = Fleet(start)
        time.sleep(rng.uniform(0, latest))
        victims = rng.sample(range(WORLD), rng.randint(1, WORLD))
        fleet.send(signal.SIGKILL, victims)
        killed = time.monotonic()
        codes = fleet.finish()
        if codes == [0] * WORLD:  # it ended before: this machine is faster than it was
            shutil.rmtree(place / "run")
            latest /= 2
            continue
        left -= 1
        figures.slowest = max(figures.slowest, time.monotonic() - killed)
        figures.counts["kills"] += 1
        figures.counts["in a save"] += any((place / "run").glob("**/*.partial"))
        figures.counts["before the first step"] += not (place / "run" / "metrics.jsonl").exists()
        figures.counts["by the watchdog"] += 69 in codes
        if 75 in codes or 78 in codes or -signal.SIGKILL not in codes:
            figures.failures[what] = f"exit codes {codes}"
    codes, said = run(start)
    if codes != [0] * WORLD:
        figures.failures[what] = f"exit codes {codes} of the last start\n{said}"
        return
    figures.compare(whole.folder / "run", place / "run", what)


def corrupt(checkpoint: Path, how: str, rng: random.Random) -> None:
    """Do `how` to files of a checkpoint that `rng` picks."""
    files = sorted(checkpoint.iterdir())
    shards = [file for file in files if file.suffix == ".safetensors"]
    file = rng.choice(files)
    content = bytearray(file.read_bytes())
    match how:
        case "flip":
            bit = rng.randrange(8 * len(content))
            content[bit // 8] ^= 1 << bit % 8
            file.write_bytes(content)
        case "truncate":
            file.write_bytes(content[: rng.randrange(len(content))])
        case "delete":
            file.unlink()
        case "swap":
            one, other = rng.sample(shards, 2)
            first, second = one.read_bytes(), other.read_bytes()
            one.write_bytes(second)
            other.write_bytes(first)
        case "stale":
            shard = rng.choice(shards)
            older = checkpoint.with_name(f"step-{int(checkpoint.name[5:]) - EVERY}")
            shutil.copy(older / shard.name, shard)
        case _:
            raise ValueError(how)


def corruption_trial(whole: Reference, place: Path, rng: random.Random, figures: Figures) -> None:
    """Corrupt the newest checkpoint, or the two newest; the run must name them, go on from the one
    before, and end as if nothing had been."""
    place.mkdir()
    shutil.copytree(whole.folder / "run", place / "run")
    bad = rng.choice((1, 1, 2))
    hows = [rng.choice(CORRUPTIONS) for _ in range(bad)]
    for index, how in enumerate(hows):  # the newest first: what makes it stale is whole
        corrupt(place / "run" / "checkpoints" / f"step-{STEPS - EVERY * index}", how, rng)
    what = f"{place.name} ({' and '.join(hows)})"
    figures.counts.update(hows)
    began = time.monotonic()
    codes, said = run(whole.start_in(place))
    figures.slowest = max(figures.slowest, time.monotonic() - began)
    figures.counts["detected"] += said.count("passed over run/checkpoints/")
    if codes != [0] * WORLD:
        figures.failures[what] = f"exit codes {codes}\n{said}"
    elif f"resumed from run/checkpoints/step-{STEPS - EVERY * bad}:" not in said:
        figures.failures[what] = f"not resumed from the newest whole one\n{said}"
    else:
        figures.compare(whole.folder / "run", place / "run", what)


TRIALS = {"kills": kill_trial, "corruptions": corruption_trial}


def campaign(
    kind: str, whole: Reference, scratch: Path, trials: int, seed: int, first: int = 0
) -> Figures:
    """`trials` of one kind; each has a generator of its own, so that one can be repeated."""
    figures = Figures()
    for index in range(first, first + trials):
        place = scratch / f"{kind}-{index}"
        TRIALS[kind](whole, place, random.Random(f"{seed}/{kind}/{index}"), figures)
        shutil.rmtree(place)
        figures.trials += 1
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TRIALS)
    args = parser.parse_args(arguments)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "whole").mkdir()
        whole = reference(scratch / "whole")
        print(f"the whole run: {STEPS} steps, {WORLD} ranks, {whole.seconds:.1f} s", flush=True)
        for kind in [args.only] if args.only else TRIALS:
            began = time.monotonic()
            figures = campaign(kind, whole, scratch, args.trials, args.seed, args.first)
            seconds = time.monotonic() - began
            counts = ", ".join(f"{count} {name}" for name, count in sorted(figures.counts.items()))
            good = figures.trials - len(figures.failures)
            print(f"{kind}: {good} of {figures.trials} trials ended like the whole run")
            print(f"  {counts}; slowest end {figures.slowest:.2f} s; {seconds:.0f} s in all")
            for what, why in figures.failures.items():
                print(f"  FAILED {what}: {why}")
            sys.stdout.flush()
            failed += len(figures.failures)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
