"""Parameters as model.py declares them: the whole shape as a vector or a matrix, the cut, the
pending sum."""

from __future__ import annotations

from backends.python.wrapping import LINE_LENGTH
from backends.pytorch.names import Names
from compiler.graph import Normal, Zeros
from compiler.mesh import Mesh
from compiler.rank_program import BlockProgram, LocalParameter, RankProgram

Dims = tuple[str, ...]


def declaration(parameter: LocalParameter, mesh: Mesh, names: Names) -> str:
    """`parameter(HEADS * HEAD_DIM, D_MODEL, tp=0)`: FSDP deals out rows, and a handful of heads
    would be too few of them."""
    sides = parameter.sides
    arguments = [" * ".join(names.dim(dim) for dim in side) for side in sides]
    arguments += [f"{axis}={dim}" for axis, dim in cuts(parameter, sides, mesh)]
    if isinstance(parameter.init, Zeros):
        arguments.append("start=0.0")
    if parameter.gradient_sums:
        arguments.append(f'partial="{mesh.name(parameter.gradient_sums)}"')
    return f"parameter({', '.join(arguments)})"


def group_declarations(block: BlockProgram, mesh: Mesh, names: Names) -> list[str]:
    """`self.attention = ParameterGroup(wq=..., ...)`, one attribute a dotted prefix."""
    groups: dict[str, list[str]] = {}
    for parameter in block.parameters:
        if not parameter.tied_to:
            group, _, name = parameter.name.rpartition(".")
            text = declaration(parameter, mesh, names)
            groups.setdefault(group, []).append(f"{name}={text}")
    lines: list[str] = []
    for group, weights in groups.items():
        line = f"self.{group} = ParameterGroup({', '.join(weights)})"
        if len(line) + 8 <= LINE_LENGTH:
            lines.append(line)
        else:
            lines += [
                f"self.{group} = ParameterGroup(",
                *(f"    {weight}," for weight in weights),
                ")",
            ]
    return lines


def cuts(
    parameter: LocalParameter, sides: tuple[Dims, ...], mesh: Mesh
) -> tuple[tuple[str, int], ...]:
    """(axis, side of the matrix it cuts). A cut dimension is the outermost of its side, so the
    parts stay contiguous."""
    found: list[tuple[str, int]] = []
    for index, side in enumerate(sides):
        for dim in side:
            atoms = parameter.layout.cuts(dim)
            if atoms and dim != side[0]:
                raise ValueError(f"{parameter.name}: {dim} is cut but not outermost in {side}")
            if atoms:
                found.append((mesh.name(atoms), index))
    return tuple(found)


def check_conventions(program: RankProgram) -> None:
    """The program says once what holds for all weights: vectors do not decay, matrices are drawn
    with one deviation and do. A model that breaks this needs another text."""
    every = [parameter for block in program.blocks for parameter in block.parameters]
    for parameter in every:
        if parameter.decays != isinstance(parameter.init, Normal):
            raise ValueError(f"{parameter.name}: decay unlike its initialisation")
    if len({p.init.std for p in every if isinstance(p.init, Normal)}) > 1:
        raise ValueError("matrices start with different deviations")
