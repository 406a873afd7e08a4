"""plan.json: the canonical spec, every resolved value with its origin, every prediction.

`llamac plan --json` prints it and an output directory keeps it. The spec in it is canonical: equal
specs give equal text, so its hash names what is trained and how.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from compiler.estimates import as_dict
from compiler.plan import PhasePlan, Plan
from dsl.canonical import to_json

if TYPE_CHECKING:
    from compiler.pipeline import Compiled


def plan_json(compiled: Compiled) -> dict[str, object]:
    """The top level shows the phase with most tokens; `phases` all of them."""
    plan = compiled.plan
    main = phase_dict(plan.main)
    return {
        "plan": plan.name,
        "run_steps": plan.run_steps,
        "data_block": plan.data_block,
        **{key: value for key, value in main.items() if key != "name"},
        "phases": [phase_dict(phase) for phase in plan.phases],
        "programs": [
            {"name": part.part_name, "phases": [phase.name for phase in part.phases]}
            for part in plan.parts
        ],
        "estimates": {name: as_dict(tree) for name, tree in compiled.estimates.items()},
        "spec_hash": spec_hash(plan),
        "spec": to_json(plan.spec),
    }


def phase_dict(phase: PhasePlan) -> dict[str, object]:
    """One phase: shape of the mesh, batch arithmetic, cuts, and why."""
    mesh = phase.mesh
    return {
        "name": phase.name,
        "world": mesh.world,
        "mesh": [{"atom": atom.name, "size": atom.size} for atom in mesh.atoms],
        "axes": {axis: mesh.axis_size(axis) for axis, _ in mesh.axes},
        "before": {"steps": phase.before.steps, "sequences": phase.before.sequences},
        "steps": phase.steps,
        "seq_len": phase.seq_len,
        "global_batch": phase.global_batch,
        "microbatch": phase.microbatch,
        "microbatches": phase.microbatches,
        "tokens_per_step": phase.tokens_per_step,
        "sharding": phase.sharding,
        "cuts": {dim: list(atoms) for dim, atoms in phase.cuts if atoms},
        "decisions": [
            {
                "path": decision.path,
                "value": decision.value,
                "origin": decision.origin,
                "reason": decision.reason,
                "runner_up": decision.runner_up,
            }
            for decision in phase.decisions
        ],
    }


def spec_hash(plan: Plan) -> str:
    """sha256 of the canonical spec, compact and with sorted keys."""
    text = json.dumps(to_json(plan.spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
