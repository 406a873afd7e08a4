"""An output directory as something to verify: its spec, its text, and the evidence beside it."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import cast

import torch

from compiler.pipeline import Compiled, compile_plan, programs
from compiler.schema import PlanSpec
from dsl.canonical import NotCanonical, from_json
from llamac.verify.errors import CannotVerify
from llamac.verify.result import Verification, as_json

PLAN = "plan.json"
EVIDENCE = "evidence"


def read_plan(folder: Path) -> Compiled:
    """The plan that the directory was compiled from, compiled again: of a run in several programs,
    that of the directory's own phases."""
    path = folder / PLAN
    try:
        found = cast(object, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CannotVerify(f"{path}: {error.strerror}; is this an output directory?") from error
    except ValueError as error:
        raise CannotVerify(f"{path}: not JSON: {error}") from error
    table = cast("dict[str, object]", found) if isinstance(found, dict) else {}
    name = table.get("plan")
    if not isinstance(name, str) or "spec" not in table:
        raise CannotVerify(f"{path}: has no `plan` and `spec`")
    try:
        compiled = compile_plan(name, from_json(table["spec"], PlanSpec)).compiled
    except NotCanonical as error:
        raise CannotVerify(f"{path}: not a spec of this version: {error}") from error
    if compiled is None:
        raise CannotVerify(f"{path}: its spec has errors")
    phases = _names(table.get("phases"))
    parts = (part for part in programs(compiled) if [p.name for p in part.plan.phases] == phases)
    found = next(parts, None)
    if found is None:
        raise CannotVerify(f"{path}: its spec has no program of the phases {', '.join(phases)}")
    return found


def _names(phases: object) -> list[str]:
    """Of the phases in a plan.json."""
    items = cast("list[object]", phases) if isinstance(phases, list) else []
    tables = (cast("dict[str, object]", item) for item in items if isinstance(item, dict))
    return [str(table.get("name")) for table in tables]


def read_program(folder: Path) -> dict[str, str]:
    """Its Python, edits included."""
    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))}
    if "config.py" not in files:
        raise CannotVerify(f"{folder}: holds no config.py; is this an output directory?")
    return files


def write_evidence(folder: Path, result: Verification) -> Path:
    """What was executed, where, with which result; whole or not at all."""
    executed = {
        "what": "llamac verify",
        "where": {
            "machine": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "devices": sorted({twin.device for twin in result.twins}),
        },
        "result": as_json(result),
    }
    target = folder / EVIDENCE / "verify.json"
    target.parent.mkdir(exist_ok=True)
    staged = target.with_suffix(".new")
    staged.write_text(json.dumps(executed, indent=2) + "\n", encoding="utf-8")
    os.replace(staged, target)
    return target
