"""The check between phases: silent on what lowering makes, and on nothing that does not fit."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compiler.plan import PhasePlan
from compiler.rank_program import RankProgram
from compiler.well_formed import IllFormed, check, defects
from tests.compiler.specs import planned
from tests.properties.cases import Case, cases
from tests.properties.mutations import EQUIVALENT, Mutation, mutations


def batch(phase: PhasePlan) -> dict[str, int]:
    return {"batch": phase.microbatch * phase.mesh.axis_size("dp"), "seq": phase.seq_len}


def unequal(program: RankProgram) -> list[Mutation]:
    """Mutations that change something and are not listed as equivalent."""
    return [
        (what, mutant)
        for what, mutant in mutations(program)
        if mutant != program and not any(known in what for known in EQUIVALENT)
    ]


def is_found(phase: PhasePlan, mutant: RankProgram) -> bool:
    return next(defects(mutant, batch(phase)), None) is not None


@pytest.mark.parametrize(
    "plan",
    [
        "tp = 2, cp = 2, microbatch = 1",
        "tp = 2, pp = 2, dp = 2, recompute = by_stage([full, [swiglu]])",
        "tp = 2, dp = 4, fsdp = 2, sharding = zero1",
    ],
)
def test_every_mutation_of_a_small_program_is_found(plan: str) -> None:
    found = planned(("tp = 2", plan), ("layers = 2", "layers = 2, head { tied = true }"))
    assert found.plan is not None, found.diagnostics
    program = found.program()
    assert not list(defects(program, batch(found.plan.main)))
    phase = found.plan.main
    assert [what for what, mutant in unequal(program) if not is_found(phase, mutant)] == []


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # what is drawn is small as it is
)
@given(cases(), st.lists(st.integers(0, 10**6), min_size=8, max_size=8))
def test_what_lowering_makes_is_well_formed_and_a_mutation_is_not(
    case: Case, chosen: list[int]
) -> None:
    check(case.program, batch(case.phase))
    every = unequal(case.program)
    some = [every[index % len(every)] for index in chosen]
    assert [what for what, mutant in some if not is_found(case.phase, mutant)] == []


def test_a_defect_names_block_statement_value_and_origin() -> None:
    found = planned()
    assert found.plan is not None
    program = found.program()
    broken = next(m for what, m in mutations(program) if what.startswith("rename q_rotated"))
    with pytest.raises(IllFormed) as raised:
        check(broken, batch(found.plan.main))
    assert str(raised.value).splitlines()[:5] == [
        "a value is read before it is defined",
        "  block      layer",
        "  statement  o = attention(q_rotated, k_rotated, v, positions, documents, key_positions, "
        "key_documents)",
        "  value      q_rotated",
        "  from       model.layer.attention (gqa)",
    ]
