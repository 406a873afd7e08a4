"""Where in a block a defect is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compiler.graph import Component
from compiler.internal_error import Defect
from compiler.rank_program import BlockProgram, Collective, Compute, Kept, LocalValue, Region
from compiler.rank_program import Statement as AnyStatement


@dataclass(frozen=True)
class Place:
    """A block, or one of its statements."""

    block: str
    statement: str = ""
    origin: Component | None = None

    def at(self, statement: AnyStatement) -> Place:
        return Place(self.block, text(statement), statement.origin)

    def defect(self, what: str, value: str = "") -> Defect:
        return Defect(what, self.block, self.statement, value, self.origin)


def text(statement: AnyStatement) -> str:
    """`q = linear(h, wq)`"""
    match statement:
        case Compute(operator=operator):
            name = operator.name
        case Collective(pair=pair, axis=axis):
            name = f"{pair}[{axis}]"
        case Region(name=name):
            pass
    made = ", ".join(value.name for value in statement.outputs)
    return f"{made} = {name}({', '.join(statement.inputs)})"


def held(block: BlockProgram) -> Iterator[LocalValue]:
    """Parameters of a block as the values that its statements read."""
    for parameter in block.parameters:
        yield LocalValue(parameter.name, parameter.dims, parameter.layout, "compute", Kept.SAVED)
