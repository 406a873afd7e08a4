"""Parts of a rank program that no template prints yet. To print one: its text, then its case here
goes away."""

from __future__ import annotations

from compiler.rank_program import BlockProgram, Collective, RankProgram, Region


class NotPrinted(Exception):
    """An internal error: the rank program is right, and this backend has no text for a part of it.

    Specs that lead here are to be refused before, with an error that names their line.
    """


def check_printed(program: RankProgram, axes: tuple[str, ...]) -> None:
    """Raises NotPrinted on the first part that would be left out of the program, which has process
    groups for `axes`."""
    for block in program.blocks:
        for loss in block.losses:
            if block is not program.head or loss.normaliser != "valid tokens":
                raise NotPrinted(
                    f"{block.name}: loss {loss.value.name} / {loss.normaliser} is not printed yet: "
                    "only the loss of the head over valid tokens is"
                )
        for line in _collectives(block):
            if line.axis not in axes:
                raise NotPrinted(
                    f"{block.name}: {line.pair} of {line.inputs[0]} over {line.axis} is not "
                    f"printed yet: the program has groups of {', '.join(axes)}"
                )
    if len(program.contracts) > 1:
        units = "; ".join(", ".join(contract.parameters) for contract in program.contracts)
        count = len(program.contracts)
        raise NotPrinted(f"{count} groups of parameters are not printed yet: {units}")


def _collectives(block: BlockProgram) -> list[Collective]:
    found: list[Collective] = []
    for statement in block.statements:
        lines = statement.statements if isinstance(statement, Region) else (statement,)
        found += [line for line in lines if isinstance(line, Collective)]
    return found
