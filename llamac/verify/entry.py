"""The ways into a check: a compiled plan, or an output directory; a fault by its name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from backends.emit import emit
from backends.pytorch.emit import PyTorch
from backends.pytorch.versions import NEWEST, VERSIONS, TorchVersion
from compiler.pipeline import Compiled, programs
from compiler.twin.twins import twins_of
from llamac.verify.directory import read_plan, read_program, write_evidence
from llamac.verify.errors import CannotVerify
from llamac.verify.fault import Fault
from llamac.verify.fault_catalogue import FAULTS
from llamac.verify.faults import by_name
from llamac.verify.result import Verification
from llamac.verify.verify import (
    CONFIG,
    Asked,
    Emit,
    Files,
    edited,
    modules,
    together,
    verify,
)


def verify_plan(compiled: Compiled, fault: str | None = None) -> Verification:
    """The plan's own text, every program of it."""
    asked = Asked(fault=_fault(fault))
    return together([verify(part, program_of, asked) for part in _different(compiled)])


def _different(compiled: Compiled) -> Iterator[Compiled]:
    """The programs of a plan; of those whose text and twins are the same, the first."""
    seen: list[object] = []
    for part in programs(compiled):
        text = {name: body for name, body in modules(program_of(part)).items() if name != CONFIG}
        told_apart = text, twins_of(part.plan.spec, *part.plan.phases)
        if told_apart not in seen:
            seen.append(told_apart)
            yield part


def verify_directory(folder: Path, fault: str | None = None) -> Verification:
    """The text as it stands in `folder`; the result is left beside it, in `evidence/`.

    A seeded fault is a demonstration, and no evidence of anything.
    """
    program, compiled = read_program(folder), read_plan(folder)
    result = verify(compiled, _emit_like(program, compiled), Asked(program, _fault(fault)))
    if fault is None:
        write_evidence(folder, result)
    return result


def program_of(compiled: Compiled, torch: TorchVersion = NEWEST) -> Files:
    return emit(compiled, backend=PyTorch(torch)).files


def _emit_like(program: Files, compiled: Compiled) -> Emit:
    """With the names of the torch version that the program was compiled for: the version whose
    text the program's is closest to."""

    def edits(torch: TorchVersion) -> int:
        return len(edited(program_of(compiled, torch), program))

    return partial(program_of, torch=min(VERSIONS, key=edits))


def _fault(name: str | None) -> Fault | None:
    if name is None:
        return None
    found = by_name(name)
    if found is None:
        names = ", ".join(fault.name for fault in FAULTS)
        raise CannotVerify(f"there is no fault `{name}`; there are: {names}")
    return found
