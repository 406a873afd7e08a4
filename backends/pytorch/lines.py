"""The lines of a block program: one printed line per statement, collectives included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from backends.python.wrapping import LINE_LENGTH
from backends.pytorch.names import Names
from backends.pytorch.operators import SAVED_BY_NAME, Call, expression
from backends.pytorch.operators.call import Argument
from backends.pytorch.unprinted import NotPrinted
from compiler.mesh import Mesh
from compiler.placement import Layout, Partial
from compiler.rank_program import Collective, Compute, Kept, LocalParameter, LocalValue

INDENT = 8

Lines = list[str]


@dataclass
class Scope:
    """Python expressions of the values that a function can see, growing as lines are printed.

    `marks` prints what is saved for the backward as `save(...)`.
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
    """The expression that computes a statement's outputs: of several, a tuple."""
    match statement:
        case Compute(operator=operator, inputs=inputs, origin=origin):
            arguments = tuple(scope.argument(name) for name in inputs)
            dims = tuple(value.dims for value in statement.outputs)
            return expression(operator, Call(arguments, dims, origin, scope.names))
        case Collective():
            return collective(statement, scope)
        case _:
            assert_never(statement)


def collective(statement: Collective, scope: Scope) -> str:
    """Named by axis and by the dimension it gathers or scatters."""
    x, axis = scope.texts[statement.inputs[0]], statement.axis
    match statement.pair:
        case "all_gather" | "reduce_scatter":
            dim = statement.outputs[0].dims.index(statement.dim)
            return f'{statement.pair}({x}, "{axis}", {dim})'
        case "all_reduce":
            return f'sum_partials({x}, "{axis}")'
        case "all_reduce_max":
            return f'all_reduce({x}, "{axis}", "max")'
        case "all_gather_invariant" | "all_reduce_replicate" | "all_to_all" | "replicate" | "slice":
            raise NotPrinted(f"{statement.pair} of {statement.inputs[0]} is not printed yet")
        case _:
            assert_never(statement.pair)


def assignment(statement: Compute | Collective, scope: Scope, name: str = "") -> list[str]:
    """`name = expression  # [local shape]`, with the shape where it changes, and on a line of its
    own where it does not fit.

    Several outputs are `a, b = expression`, and one more line for each that is marked `save`.
    """
    outputs = statement.outputs
    targets = [name] if name else [value.name for value in outputs]
    marked = [scope.marks and _is_marked(statement, value) for value in outputs]
    text = value_of(statement, scope)
    if marked == [True]:
        text = f"save({text})"
    before = scope.argument(statement.inputs[0])
    for value, target in zip(outputs, targets, strict=True):
        scope.know(value, target)
    line = f"{', '.join(targets)} = {text}"
    if any((value.dims, value.layout) != (before.dims, before.layout) for value in outputs):
        shapes = f"# {', '.join(shape(value, scope.mesh) for value in outputs)}"
        fits = INDENT + len(line) + 2 + len(shapes) <= LINE_LENGTH
        lines = [f"{line}  {shapes}"] if fits else [shapes, line]
    else:
        lines = [line]
    if len(outputs) > 1:
        pairs = zip(targets, marked, strict=True)
        lines += [f"{target} = save({target})" for target, is_saved in pairs if is_saved]
    return lines


def _is_marked(statement: Compute | Collective, output: LocalValue) -> bool:
    """Saved, and not by the policy, which knows some operators by torch's names."""
    match statement:
        case Collective():
            return False
        case Compute(operator=operator):
            return output.kept is Kept.SAVED and operator.name not in SAVED_BY_NAME
        case _:
            assert_never(statement)


def shape(value: LocalValue, mesh: Mesh) -> str:
    """`[batch, seq / tp, d_model]`, and `: partial sum` where one is pending. The batch is the
    rank's own."""
    parts: list[str] = []
    for dim in value.dims:
        atoms = value.layout.cuts(dim)
        parts.append(" / ".join([dim, *mesh.parts(atoms)]) if dim != "batch" else dim)
    others = (atom for atom in mesh.tensor_atoms if atom not in mesh.axis("dp"))
    pending = any(value.layout.on(atom) == Partial("sum") for atom in others)
    return f"[{', '.join(parts)}]" + (": partial sum" if pending else "")
