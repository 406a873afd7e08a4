"""Defects of the compiler itself, located in the program that it was making."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.graph import Component


@dataclass(frozen=True)
class Defect:
    """What is wrong with a program, and where: no spec can be the reason.

    statement, value   as dumps show them; '' where the defect is not in one
    origin             the component that the statement or parameter was built for
    """

    what: str
    block: str
    statement: str = ""
    value: str = ""
    origin: Component | None = None

    def __str__(self) -> str:
        places = (
            ("block", self.block),
            ("statement", self.statement),
            ("value", self.value),
            ("from", str(self.origin or "")),
        )
        return "\n".join([self.what, *(f"  {name:<10} {text}" for name, text in places if text)])


class InternalError(Exception):
    """The compiler made what it must not make; the command line asks to report it."""

    def __init__(self, defect: Defect, others: int = 0) -> None:
        more = f"\n  and {others} more" if others else ""
        super().__init__(f"{defect}{more}")
        self.defect = defect
