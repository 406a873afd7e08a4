"""A sample of the mutation campaign: no mutant survives that is not explained as equivalent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.twin.campaign import CAMPAIGN, campaign
from tests.twin.equivalent_mutants import reason
from tests.twin.mutants import mutants

EACH = 10


@pytest.mark.long
@pytest.mark.parametrize("name", CAMPAIGN)
def test_every_mutant_is_caught_or_explained(name: str, tmp_path: Path) -> None:
    outcomes = list(campaign(name, tmp_path, EACH))
    assert len(outcomes) == EACH
    survived = [mutant.key for mutant, outcome in outcomes if not outcome.caught]
    assert [key for key in survived if not reason(name, key)] == []
    again = list(campaign(name, tmp_path, EACH))
    assert again == outcomes, "a campaign that is started again runs nothing twice"


PROGRAM = '''def step(x, n):
    """A comment."""
    y = all_gather(x, "tp", 1)
    if n >= 2:
        y.mul_(x / n)
    return y - x
'''


def test_every_operator_makes_its_mutants() -> None:
    files, lines = {"model.py": PROGRAM}, {"model.py": {*range(3, 7)}}
    found = [(m.operator, m.after) for m in mutants(files, lines, ("tp", "cp"))]
    assert found == [
        ("collective dropped", "y = x"),
        ("another axis", "y = all_gather(x, 'cp', 1)"),
        ("off by one", "y = all_gather(x, 'tp', 2)"),
        ("off by one", "y = all_gather(x, 'tp', 0)"),
        ("comparison turned", "if n > 2:"),
        ("off by one", "if n >= 3:"),
        ("off by one", "if n >= 1:"),
        ("statement dropped", "pass"),
        ("division dropped", "y.mul_(x)"),
        ("sign turned", "return y + x"),
    ]
