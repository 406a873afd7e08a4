"""The check between phases: a rank program is what the backends may take for granted.

It runs after lowering on every compile, so also on every twin, and shares no code with lowering.
It asks whether the parts of a program fit each other, not whether it computes the right thing:
that is what the lowering law and the twin are for. A file for each idea: `values` (names, sizes,
placements), `kept` (what the backward finds), `contracts` (who reduces, counts and updates each
parameter), `model` (blocks, stages, ways to recompute). To add a check: yield a `Defect` in the
file of its idea, and a mutation in `tests/properties/test_well_formed.py` that it alone catches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compiler.internal_error import Defect, InternalError
from compiler.rank_program import RankProgram
from compiler.well_formed.contracts import contract_defects
from compiler.well_formed.kept import kept_defects
from compiler.well_formed.model import model_defects
from compiler.well_formed.values import value_defects


class IllFormed(InternalError):
    """The parts of a rank program do not fit each other."""


def defects(program: RankProgram, batch: Mapping[str, int]) -> Iterator[Defect]:
    """Everything that is wrong, in the order of the program.

    batch   full sizes of `batch` and `seq` in one microbatch of all ranks
    """
    for block in program.blocks:
        yield from value_defects(program.mesh, block, batch)
        yield from kept_defects(program, block)
    yield from model_defects(program)
    yield from contract_defects(program)


def check(program: RankProgram, batch: Mapping[str, int]) -> None:
    """Raises IllFormed, naming the first defect, unless the program is well formed."""
    found = tuple(defects(program, batch))
    if found:
        raise IllFormed(found[0], len(found) - 1)
