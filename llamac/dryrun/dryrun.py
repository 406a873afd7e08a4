"""Emits the program, runs a process for each rank class, compares. No torch in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from backends.emit import emit
from compiler.estimates import Estimate
from compiler.memory import memory
from compiler.mesh import Mesh
from compiler.pipeline import Compiled, programs
from compiler.plan import PhasePlan
from compiler.rank_program import RankProgram
from compiler.stages import Stage, stages
from compiler.traffic import totals, traffic
from llamac.dryrun.record import Record
from llamac.dryrun.result import CATEGORIES, Crashed, DryRun, Line, RankClass

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
"""Processes beside each other: each takes one core, and a few hundred MB."""


@dataclass(frozen=True)
class Class:
    """Ranks that do the same; `rank` stands for all."""

    name: str
    stage: Stage
    rank: int


def dryrun(compiled: Compiled, files: Mapping[str, str] | None = None) -> DryRun:
    """A step of one rank of each class in every phase.

    files  text of the program by path, where it is not what `emit` prints
    """
    found = [_program(part, files) for part in programs(compiled)]
    return DryRun(compiled.plan.name, compiled.plan.main.mesh.world, tuple(chain(*found)))


def _program(compiled: Compiled, files: Mapping[str, str] | None) -> list[RankClass | Crashed]:
    """Phase by phase; a process goes through all of them."""
    phases = compiled.plan.phases
    compiles = phases[0].decision("compile").value is True
    with tempfile.TemporaryDirectory(prefix="llamac-dryrun-") as folder:
        for name, text in (files or emit(compiled).files).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

        pairs = tuple(zip(phases, compiled.programs, strict=True))
        # one rank class through all phases; a stage's blocks have the sizes of its phase
        through = zip(*(classes(phase, program) for phase, program in pairs), strict=True)

        def run(same: tuple[Class, ...]) -> list[RankClass | Crashed]:
            records = _run(Path(folder), same[0].rank, compiles, phases)
            if isinstance(records, str):
                place = same[0].name, same[0].rank, same[0].stage.rank
                return [Crashed(compiled.plan.part_name, *place, records)]
            return [
                _compare(one, record, phase, program, memory(phase, program))
                for one, record, (phase, program) in zip(same, records, pairs, strict=True)
            ]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            ranks = list(chain(*pool.map(run, through)))
    order = [phase.name for phase in phases]
    return sorted(ranks, key=lambda rank: order.index(rank.phase) if rank.phase in order else -1)


def classes(phase: PhasePlan, program: RankProgram) -> tuple[Class, ...]:
    """First, middle and last stage; on every other axis the first rank."""
    every = stages(phase, program)
    names = {0: "first", len(every) // 2: "middle", len(every) - 1: "last"}
    if len(every) == 1:
        names = {0: "every rank"}
    return tuple(
        Class(name, every[index], _first_rank(phase.mesh, index)) for index, name in names.items()
    )


def _first_rank(mesh: Mesh, stage: int) -> int:
    at = {atom.name: 0 for atom in mesh.atoms}
    return mesh.rank(at | dict.fromkeys(mesh.axis("pp"), stage))


def _run(
    program: Path, rank: int, compiles: bool, phases: Sequence[PhasePlan]
) -> list[Record] | str:
    """A record for each phase, or the process's last words."""
    output, world = program / f"rank-{rank}.json", phases[0].mesh.world
    arguments = [str(program), str(rank), str(world), "compiled" if compiles else "eager"]
    positions = [str(phase.first_token) for phase in phases]
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "llamac.dryrun.probe",
            *arguments,
            str(output),
            *positions,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not output.exists():
        return _last_words(done.stderr, program)
    return cast("list[Record]", json.loads(output.read_text(encoding="utf-8")))


def _last_words(stderr: str, program: Path) -> str:
    """The last line, and where in the program's text the traceback above it points."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["no word"]
    own = [line for line in lines if str(program) in line]
    where = own[-1].replace(f"{program}/", "") if own else ""
    return f"{lines[-1]} ({where})" if where else lines[-1]


def _compare(
    one: Class,
    record: Record,
    phase: PhasePlan,
    program: RankProgram,
    predicted: Estimate,
) -> RankClass:
    ran: dict[tuple[tuple[str, ...], str], tuple[int, int]] = {}
    for called in record["collectives"]:
        over = varying(phase.mesh, called["ranks"])
        if over:
            key = (over, called["kind"])
            count, size = ran.get(key, (0, 0))
            ran[key] = (count + called["count"], size + called["bytes"])
    wanted = {
        (_ordered(phase.mesh, atoms), str(kind)): total
        for (atoms, kind), total in totals(traffic(phase, program, one.stage)).items()
    }
    lines = tuple(
        Line(*key, *ran.get(key, (0, 0)), *wanted.get(key, (0, 0)))
        for key in sorted(ran.keys() | wanted.keys())
    )
    stage = predicted.children[one.stage.rank]
    terms = {child.name: child.value for child in stage.children}
    terms["activations"] += terms["pipeline"]  # a storage does not say whose it is
    return RankClass(
        phase=phase.name,
        name=one.name,
        rank=one.rank,
        stage=one.stage.rank,
        parameters=record["parameters"],
        peak=record["peak"],
        saved=record["saved"],
        predicted={name: terms[name] for name in CATEGORIES},
        lines=lines,
        seconds=record["seconds"],
        process_bytes=record["process_bytes"],
    )


def varying(mesh: Mesh, ranks: list[int]) -> tuple[str, ...]:
    """The atoms on which the ranks of a group differ: what the group is over."""
    at = [mesh.coordinates(rank) for rank in ranks]
    return tuple(atom.name for atom in mesh.atoms if len({place[atom.name] for place in at}) > 1)


def _ordered(mesh: Mesh, atoms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(atom.name for atom in mesh.atoms if atom.name in atoms)
