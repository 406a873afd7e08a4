"""README.md of a program: how to run it, what was decided and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from backends.pytorch.features import Features
from backends.pytorch.versions import TorchVersion
from compiler.plan import PhasePlan, Plan


def readme_context(
    plan: Plan,
    phase: PhasePlan,
    features: Features,
    torch: TorchVersion,
    scripts: Collection[str],
) -> Mapping[str, object]:
    """What the template is filled with; `scripts` are the files that start the program."""
    return {
        "f": features,
        "scripts": scripts,
        "plan": plan.name,
        "phase": phase.name,
        "phases": [name for name, _ in plan.spec.train.phase.items],
        "first_step": phase.before.steps + 1,
        "last_step": phase.last_step,
        "run_steps": plan.run_steps,
        "world": phase.mesh.world,
        "torch": torch,
        "decisions": [
            {
                "path": decision.path,
                "value": f"{decision.value:,}" if type(decision.value) is int else decision.value,
                "origin": decision.origin,
                "reason": decision.reason.replace("|", "\\|"),
            }
            for decision in phase.decisions
        ],
    }
