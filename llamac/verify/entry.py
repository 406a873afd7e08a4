"""The ways into a check: a compiled plan, or an output directory; a fault by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from backends.pytorch import emit
from compiler.pipeline import Compiled
from llamac.verify.directory import read_plan, read_program, write_evidence
from llamac.verify.errors import CannotVerify
from llamac.verify.fault_catalogue import FAULTS, Fault
from llamac.verify.faults import by_name
from llamac.verify.result import Verification
from llamac.verify.verify import Asked, verify

COMPILER_PATIENCE = 600.0
"""Seconds without progress where the first step waits for inductor."""


def verify_plan(compiled: Compiled, fault: str | None = None) -> Verification:
    """The plan's own text."""
    return verify(compiled, program_of, Asked(fault=_fault(fault)))


def verify_directory(folder: Path, fault: str | None = None) -> Verification:
    """The text as it stands in `folder`; the result is left beside it, in `evidence/`.

    A seeded fault is a demonstration, and no evidence of anything.
    """
    asked = Asked(program=read_program(folder), fault=_fault(fault))
    result = verify(read_plan(folder), program_of, asked)
    if fault is None:
        write_evidence(folder, result)
    return result


def program_of(compiled: Compiled) -> Mapping[str, str]:
    return emit(compiled).files


def _fault(name: str | None) -> Fault | None:
    if name is None:
        return None
    found = by_name(name)
    if found is None:
        names = ", ".join(fault.name for fault in FAULTS)
        raise CannotVerify(f"there is no fault `{name}`; there are: {names}")
    return found
