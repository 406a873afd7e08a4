"""check_asserts: a plan's constraints, held against what was resolved and estimated.

A path names a resolved value of the plan (`dp`, `microbatches`), a field of its spec
(`model.d_model`) or a figure of an estimate tree (`parameters.layer`), in this order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import cast

from compiler.estimates import NOT_BUILT, Estimate
from compiler.plan import PhasePlan, Plan
from compiler.problems.plans import AssertFailed, AssertUnknown, EstimateNotBuilt
from dsl.diagnostics import Edit, Problem, Suggestion
from dsl.evaluate import Atom, Listed, UnknownPath, evaluate, parts, show_atom
from dsl.schema import Count, Dimension, Named, Pattern, Row
from dsl.show import expression_text, paths_in
from dsl.spec import Assert
from dsl.suggest import closest
from dsl.tree import Expression, Number, Operation, Path
from dsl.units import NONE, Quantity


def check_asserts(
    plan: Plan, phase: PhasePlan, figures: Mapping[str, Estimate], asserts: tuple[Assert, ...]
) -> tuple[Problem, ...]:
    """A problem for every assert that a phase does not hold, or that nothing can answer."""
    known = known_values(phase, figures)
    place = f"in phase {phase.name}: " if len(plan.phases) > 1 else ""
    figured = {path for root in figures.values() for path, _ in root.walk()}
    explained = figured | {decision.path for decision in phase.decisions}
    found = (_check(constraint, known, explained, place) for constraint in asserts)
    return tuple(problem for problem in found if problem is not None)


def known_values(phase: PhasePlan, figures: Mapping[str, Estimate]) -> dict[str, Atom]:
    """Every path that an assert or `explain` may name, with its value."""
    trees = (pair for root in figures.values() for pair in root.walk())
    values: dict[str, Atom] = {
        path: Quantity.of(tree.value, Dimension.BYTES if tree.unit == "B" else None)
        for path, tree in trees
    }
    if "memory" in values:  # the root is its own largest stage
        values["memory.peak"] = values["memory"]
    values |= _fields(phase.spec, "")
    return values | {decision.path: _atom(decision.value) for decision in phase.decisions}


def _check(
    constraint: Assert, known: Mapping[str, Atom], explained: Collection[str], place: str
) -> Problem | None:
    def lookup(path: str) -> Atom | UnknownPath:
        return known[path] if path in known else UnknownPath(path, constraint.span)

    result = evaluate(constraint.expression, lookup)
    match result:
        case Problem():
            return result
        case UnknownPath(path=path, span=span):
            if path.partition(".")[0] in NOT_BUILT:
                return EstimateNotBuilt(span=span, path=path)
            near = closest(path, known)
            choices = _renamed(constraint.expression, path, near)
            return AssertUnknown(span=span, path=path, near=near, choices=choices)
        case _ if result.value is True:
            return None
        case _:
            values = [
                f"{expression_text(part)} = {show_atom(value)}"
                for part, value in parts(constraint.expression, result)
                if not isinstance(value, bool)
            ]
            compared = isinstance(constraint.expression, Operation)
            text = ", ".join(dict.fromkeys(values)) if compared and values else "it is false"
            return AssertFailed(
                span=constraint.span,
                text=constraint.text,
                values=f"{place}{text}",
                choices=_relaxed(constraint, known),
                explained=tuple(path for path in result.paths if path in explained),
            )


_OR_EQUAL = {"<": "<=", ">": ">=", "<=": "<=", ">=": ">=", "==": "=="}


def _renamed(expression: Expression, path: str, meant: str | None) -> tuple[Suggestion, ...]:
    """The path that was surely meant, in its place."""
    places = [one.span for one in paths_in(expression) if one.text == path]
    if meant is None or not places:
        return ()
    return (Suggestion(meant, tuple(Edit(span, meant) for span in places)),)


def _relaxed(constraint: Assert, known: Mapping[str, Atom]) -> tuple[Suggestion, ...]:
    """The comparison of one count with a number, as far as it holds: `dp >= 4`."""
    match constraint.expression:
        case Operation(operator, Path() as path, Number(), _) if operator in _OR_EQUAL:
            form = f"{path.text} {_OR_EQUAL[operator]} {{}}"
        case Operation(operator, Number(), Path() as path, _) if operator in _OR_EQUAL:
            form = f"{{}} {_OR_EQUAL[operator]} {path.text}"
        case _:
            return ()
    value = known[path.text]
    if not isinstance(value, Quantity) or value.dimensions != NONE:
        return ()
    if not isinstance(value.number, int):
        return ()
    text = form.format(value.number)
    return (Suggestion(f"assert {text}", (Edit(constraint.span, text),)),)


def _fields(value: object, prefix: str) -> dict[str, Atom]:
    """Plain fields of a checked value by dotted path; of a layer pattern, the first kind's."""
    if isinstance(value, Pattern):
        return _fields(cast(Pattern[object], value).kinds[0], prefix)
    found: dict[str, Atom] = {}
    if isinstance(value, Named):
        for label, item in cast(Named[object], value).items:
            found |= _fields(item, f"{prefix}.{label}")
        return found
    if not dataclasses.is_dataclass(value):
        return found
    for field in dataclasses.fields(value):
        path = f"{prefix}.{field.name}" if prefix else field.name
        inner: object = getattr(value, field.name)
        row = field.metadata.get("row")
        if _is_plain(inner):
            found[path] = _atom(inner, row.dimension if isinstance(row, Row) else None)
        else:
            found |= _fields(inner, path)
    return found


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | str | int | float | Count | tuple)


def _atom(value: object, dimension: Dimension | None = None) -> Atom:
    """A plain value as the evaluator wants it."""
    match value:
        case None | bool() | str():
            return value
        case int() | float():
            return Quantity.of(value, dimension)
        case Count(value=number, word=word):
            return dataclasses.replace(Quantity.of(number), word=word)
        case tuple():
            return Listed(tuple(_atom(item) for item in cast(tuple[object, ...], value)))
        case _:
            raise TypeError(f"not a plain value: {value!r}")
