"""Layer patterns: which clauses a layer gets, and so which kinds of layers there are."""

from __future__ import annotations

from typing import Final

from dsl.convert import Given, wrong_type
from dsl.diagnostics import Edit, Suggestion
from dsl.evaluate import Atom, EvaluationFailed, describe
from dsl.owner import Owner
from dsl.problems.values import NotACondition
from dsl.schema import Field, Pattern
from dsl.scope import BROKEN, atom
from dsl.settings import Setting
from dsl.show import size
from dsl.syntax import Limit
from dsl.units import Quantity

MAXIMUM_LAYERS: Final = 20_000
MAXIMUM_WORK: Final = 250_000
"""Layers made and steps of conditions evaluated in one file: what bounds the time."""


def pattern(frame: Owner, row: Field, entry: type, setting: Setting) -> object:
    """The kinds of layers and which one each layer is; the row `layers` says how many."""
    if setting.assigned is not None:
        given = Given(row, setting.assigned.value, setting.assigned.value.span, "")
        frame.context.report(wrong_type(given, row.shape, "a value"))
        return BROKEN
    count = frame.value(f"{row.name}s")
    broken = not isinstance(count, int)
    if not isinstance(count, int):
        count = 1  # its error is reported; check what the layers are made of all the same
    conditions = sum(size(v.predicate) for v in setting.variants if v.predicate is not None)
    trail = frame.context.trail
    trail.layers += count * (1 + conditions)
    if count > MAXIMUM_LAYERS or trail.layers > MAXIMUM_WORK:
        origin = frame.folded.settings.get(f"{row.name}s")
        assigned = None if origin is None else origin.assigned
        span = frame.span if assigned is None else assigned.value.span
        what, limit = f"{count:,} layers are too many", f"{MAXIMUM_LAYERS:,}"
        fewer = f"{MAXIMUM_LAYERS}"
        edits = () if assigned is None else (Edit(span, fewer),)
        instead, choices = "", (Suggestion(f"{row.name}s = {fewer}", edits),)
        if count <= MAXIMUM_LAYERS:
            what = "the layers of this file and their conditions are too many"
            limit = f"{MAXIMUM_WORK:,}, every use of a model counted"
            instead, choices = "write shorter conditions, or fewer plans in one file", ()
        frame.context.report(
            Limit(span=span, what=what, limit=limit, instead=instead, choices=choices)
        )
        return BROKEN
    masks = _masks(frame, setting, count)
    if masks is None:
        return BROKEN
    made: dict[tuple[bool, ...], object] = {}
    for mask in masks:
        if mask not in made:
            chosen = [v for v, used in zip(setting.variants, mask, strict=True) if used]
            clauses = [clause for variant in chosen for clause in variant.clauses]
            made[mask] = frame.child(entry, clauses, row.name, setting.span)
    if broken or any(kind is BROKEN for kind in made.values()):
        return BROKEN
    kinds = tuple(dict.fromkeys(made.values()))
    place = {mask: kinds.index(kind) for mask, kind in made.items()}
    return Pattern(kinds, tuple(place[mask] for mask in masks))


def _masks(frame: Owner, setting: Setting, count: int) -> list[tuple[bool, ...]] | None:
    """For each layer, which clauses apply; None where a condition has no value."""
    columns: list[list[bool]] = []
    for variant in setting.variants:
        predicate = variant.predicate
        if predicate is None:
            columns.append([True] * count)
            continue
        column: list[bool] = []
        for index in range(count):
            names: dict[str, Atom] = {"i": Quantity(index), "last": Quantity(count - 1)}
            try:
                held = atom(predicate, frame, variant.module, names)
            except EvaluationFailed as failed:
                if failed.problem is not None:
                    frame.context.report(failed.problem)
                return None
            if not isinstance(held, bool):
                frame.context.report(NotACondition(span=predicate.span, found=describe(held)))
                return None
            column.append(held)
        columns.append(column)
    return list(zip(*columns, strict=True))
