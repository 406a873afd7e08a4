"""Parts of a rank program that the PyTorch backend cannot print yet, and refuses by name.

The lowering can express more than any spec asks for today: losses of layers, several groups of
parameters, collectives over axes without a process group. To print one of them, write its text and
delete its case here.
"""

from __future__ import annotations

from compiler.rank_program import BlockProgram, Collective, RankProgram, Region


class NotPrinted(Exception):
    """An internal error: the rank program is right, but this backend has no text for a part of it.

    A spec that leads here should have been refused earlier, by an error that names its line.
    """


def check_printed(program: RankProgram, axes: tuple[str, ...]) -> None:
    """Raises NotPrinted for the first part that the program would lack; it has process groups for
    `axes`."""
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
