"""The lines of a block program: one printed line a statement, collectives included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from backends.pytorch.names import Names
from backends.pytorch.operators import Call, expression
from backends.pytorch.operators.call import Argument
from backends.pytorch.weights import parts_of
from backends.pytorch.wrapping import LINE_LENGTH
from compiler.mesh import Mesh
from compiler.operators import Attention, Linear
from compiler.placement import Layout
from compiler.rank_program import Collective, Compute, Kept, LocalParameter, LocalValue

INDENT = 8

Lines = list[str]


@dataclass
class Scope:
    """Python expressions of the values that a function can see, growing as lines are printed.

    `marks` prints what the backward is to find as `keep(...)`.
    """

    mesh: Mesh
    names: Names
    texts: dict[str, str]
    dims: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    layouts: dict[str, Layout] = field(default_factory=dict[str, Layout])
    marks: bool = False

    def know(self, value: LocalValue, text: str) -> None:
        self.texts[value.name] = text
        self.dims[value.name] = value.dims
        self.layouts[value.name] = value.layout

    def know_parameters(
        self, parameters: Iterable[LocalParameter], texts: Mapping[str, str]
    ) -> None:
        for parameter in parameters:
            self.texts[parameter.name] = texts[parameter.name]
            self.dims[parameter.name] = parameter.dims
            self.layouts[parameter.name] = parameter.layout

    def argument(self, name: str) -> Argument:
        return Argument(name, self.texts[name], self.dims[name], self.layouts[name])


def value_of(statement: Compute | Collective, scope: Scope) -> str:
    """The expression that computes a statement's output."""
    match statement:
        case Compute(operator=operator, inputs=inputs):
            arguments = tuple(scope.argument(name) for name in inputs)
            return expression(operator, Call(arguments, statement.output.dims, scope.names))
        case Collective():
            return collective(statement, scope)
        case _:
            assert_never(statement)


def collective(statement: Collective, scope: Scope) -> str:
    """Named by axis and by the dimension it gathers or scatters."""
    x, axis = scope.texts[statement.input], statement.axis
    match statement.pair:
        case "all_gather" | "reduce_scatter":
            dim = statement.output.dims.index(statement.dim)
            return f'{statement.pair}({x}, "{axis}", {dim})'
        case "all_reduce":
            return f'sum_partials({x}, "{axis}")'
        case "all_reduce_max":
            return f'all_reduce({x}, "{axis}", "max")'
        case _:
            assert_never(statement.pair)


def assignment(statement: Compute | Collective, scope: Scope, name: str = "") -> str:
    """`name = expression  # [local shape]`; the comment where the shape changes and it fits."""
    text = value_of(statement, scope)
    if scope.marks and _is_marked(statement):
        text = f"keep({text})"
    before = scope.argument(_first_input(statement))
    target = name or statement.output.name
    scope.know(statement.output, target)
    line = f"{target} = {text}"
    output = statement.output
    if (output.dims, output.layout) == (before.dims, before.layout):
        return line
    commented = f"{line}  # {shape(output, scope.mesh)}"
    return commented if len(commented) + INDENT <= LINE_LENGTH else line


def _is_marked(statement: Compute | Collective) -> bool:
    """Kept, and not the output of an operator that the policy knows by torch's own name."""
    match statement:
        case Compute(operator=Linear() | Attention()) | Collective():
            return False
        case Compute():
            return statement.output.kept is Kept.SAVED
        case _:
            assert_never(statement)


def _first_input(statement: Compute | Collective) -> str:
    return statement.inputs[0] if isinstance(statement, Compute) else statement.input


def shape(value: LocalValue, mesh: Mesh) -> str:
    """`[batch, seq / tp, d_model]`, and `: partial sum` where one is pending. The batch is the
    rank's own."""
    parts: list[str] = []
    for dim in value.dims:
        atoms = value.layout.cuts(dim)
        parts.append(" / ".join([dim, *parts_of(mesh, atoms)]) if dim != "batch" else dim)
    pending = any(
        str(value.layout.on(atom)) == "P(sum)"
        for axis, atoms in mesh.axes
        for atom in atoms
        if axis != "dp"
    )
    return f"[{', '.join(parts)}]" + (": partial sum" if pending else "")
