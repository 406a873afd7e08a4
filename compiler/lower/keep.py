"""keep: what the backward finds of every value.

An operator says which inputs (and whether its output) its backward reads. What is gathered is
gathered again; a region's values are computed again, and so are the outputs of operators that the
plan lists; all else that is read is saved, the inputs of what runs again included. A block that is
recomputed keeps its input only.
"""

from __future__ import annotations

from dataclasses import replace

from compiler.lower.walk import Line
from compiler.pairs import PAIRS
from compiler.plan import Recompute
from compiler.rank_program import Collective, Compute, Kept, LocalValue, Region, Statement


def keep(
    statements: tuple[Statement, ...], inputs: tuple[LocalValue, ...], recompute: Recompute
) -> tuple[tuple[Statement, ...], tuple[LocalValue, ...]]:
    """The same statements and inputs, with `kept` filled in. Data is never counted as saved."""
    match recompute:
        case "full":
            again = {s.operator.name for s in statements if isinstance(s, Compute)}
            found = {value.name: Kept.SAVED for value in inputs}
        case "none":
            again = set[str]()
            found = _found(statements, again)
        case _:
            again = set(recompute)
            found = _found(statements, again)
    marked = tuple(_marked(statement, found, again) for statement in statements)
    return marked, tuple(
        value
        if value.precision == "index"
        else replace(value, kept=found.get(value.name, Kept.DROPPED))
        for value in inputs
    )


def _found(statements: tuple[Statement, ...], again: set[str]) -> dict[str, Kept]:
    """Every value that the backward reads or makes others of, and how it finds it."""
    makers = {
        value.name: statement
        for statement in statements
        if not isinstance(statement, Region)
        for value in statement.outputs
    }
    gathered = _gathered_again(statements)
    found: dict[str, Kept] = {}
    pending = _needed(statements)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        match makers.get(name):
            case Compute(operator=operator, inputs=read) if operator.name in again:
                found[name] = Kept.RECOMPUTED
                pending |= set(read)
            case Collective(inputs=read) if name in gathered:
                found[name] = Kept.REGATHERED
                pending |= set(read)
            case _:
                found[name] = Kept.SAVED
    return found


def _needed(statements: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()
    for statement in statements:
        match statement:
            case Compute():
                saves = statement.operator.saves
                found |= {statement.inputs[i] for i in saves.inputs}
                found |= {statement.outputs[i].name for i in saves.outputs}
            case Region():
                found |= set(statement.sliced)
            case Collective():
                pass
    return found


def _gathered_again(statements: tuple[Statement, ...]) -> set[str]:
    """Outputs of all-gathers, but those that a region holds: it computes its own values again,
    from inputs that stay."""
    held = {name for s in statements if isinstance(s, Region) for name in s.sliced}
    gathers = (
        s for s in statements if isinstance(s, Collective) and PAIRS[s.pair].forward == "all_gather"
    )
    return {value.name for gather in gathers for value in gather.outputs} - held


def _marked(statement: Statement, found: dict[str, Kept], again: set[str]) -> Statement:
    match statement:
        case Compute(operator=operator):
            beside = Kept.RECOMPUTED if operator.name in again else Kept.SAVED
            return _with_kept(statement, found, beside)
        case Collective():
            return _with_kept(statement, found)
        case Region():
            return replace(
                statement, statements=tuple(_recomputed(line) for line in statement.statements)
            )


def _recomputed(line: Line) -> Line:
    found = {value.name: Kept.RECOMPUTED for value in line.outputs}
    return _with_kept(line, found, Kept.RECOMPUTED)


def _with_kept(line: Line, found: dict[str, Kept], beside: Kept = Kept.DROPPED) -> Line:
    outputs = tuple(
        replace(value, kept=found.get(value.name, Kept.DROPPED)) for value in line.outputs
    )
    match line:
        case Compute():
            own = tuple(replace(value, kept=beside) for value in line.beside)
            return replace(line, outputs=outputs, beside=own)
        case Collective():
            return replace(line, outputs=outputs)
