"""keep: what the backward finds of every value.

An operator says which inputs (and whether its output) its backward reads. A gathered activation
that only matrix products and attention read is gathered again; a region's values are computed
again; all else that is read is saved, the input of a repeated gather included. A block that is
recomputed keeps its input only.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.lower.walk import Line
from compiler.operators import Attention, Linear
from compiler.rank_program import Collective, Compute, Kept, LocalValue, Region, Statement


def keep(
    statements: tuple[Statement, ...], inputs: tuple[LocalValue, ...], recompute: bool
) -> tuple[tuple[Statement, ...], tuple[LocalValue, ...]]:
    """The same statements and inputs, with `kept` filled in. Data is never counted as saved."""
    needed = _needed(statements)
    regathered = _gathered_for_products(statements) & needed
    needed |= {
        s.input for s in statements if isinstance(s, Collective) and s.output.name in regathered
    }
    if recompute:
        needed, regathered = {value.name for value in inputs}, set[str]()
    marked = tuple(_marked(statement, needed, regathered) for statement in statements)
    stream = {value.name for value in inputs if "d_model" in value.dims} & needed
    return marked, tuple(
        replace(value, kept=Kept.SAVED) if value.name in stream else value for value in inputs
    )


def _needed(statements: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()
    for statement in statements:
        match statement:
            case Compute():
                found |= {statement.inputs[i] for i in statement.operator.keeps_inputs}
                if statement.operator.keeps_output:
                    found.add(statement.output.name)
            case Region():
                found |= set(statement.sliced)
            case Collective():
                pass
    return found


def _gathered_for_products(statements: tuple[Statement, ...]) -> set[str]:
    """Outputs of all-gathers read by matrix products or attention only: a region computes its own
    values again, from inputs that it holds."""
    others: set[str] = set()
    for statement in statements:
        match statement:
            case Compute(operator=Linear() | Attention()):
                pass
            case Region():
                others |= set(statement.sliced)
            case Compute():
                others |= set(statement.inputs)
            case Collective():
                others.add(statement.input)
    return {
        statement.output.name
        for statement in statements
        if isinstance(statement, Collective)
        and statement.pair == "all_gather"
        and statement.output.name not in others
    }


def _marked(statement: Statement, needed: set[str], regathered: set[str]) -> Statement:
    def kept(name: str) -> Kept:
        if name not in needed:
            return Kept.DROPPED
        return Kept.REGATHERED if name in regathered else Kept.SAVED

    match statement:
        case Compute() | Collective():
            return replace(
                statement, output=replace(statement.output, kept=kept(statement.output.name))
            )
        case Region():
            return replace(
                statement, statements=tuple(_recomputed(line) for line in statement.statements)
            )


def _recomputed(line: Line) -> Line:
    return replace(line, output=replace(line.output, kept=Kept.RECOMPUTED))
