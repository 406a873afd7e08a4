"""README.md of a program: how to run it, what was decided and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from backends.pytorch.features import Features
from backends.pytorch.versions import TorchVersion
from compiler.data import places_of
from compiler.plan import Decision, Plan


def readme_context(
    plan: Plan, features: Features, torch: TorchVersion, scripts: Collection[str]
) -> Mapping[str, object]:
    """What the template is filled with; `scripts` are the files that start the program."""
    agreed = set[Decision].intersection(*(set(phase.decisions) for phase in plan.phases))
    return {
        "f": features,
        "scripts": scripts,
        "plan": plan.name,
        "phases": [one.name for one in plan.phases],
        "all_phases": [name for name, _ in plan.spec.train.phase.items],
        "first_step": plan.phases[0].before.steps + 1,
        "last_step": plan.phases[-1].last_step,
        "run_steps": plan.run_steps,
        "world": plan.main.mesh.world,
        "prepared": places_of(plan.name, plan.spec).prepared,
        "torch": torch,
        "decisions": [
            {
                "path": decision.path,
                "phase": "" if decision in agreed else phase.name,
                "value": decision.text,
                "origin": decision.origin,
                "reason": decision.reason.replace("|", "\\|"),
            }
            for phase in plan.phases
            for decision in phase.decisions
            if phase is plan.phases[0] or decision not in agreed
        ],
    }
