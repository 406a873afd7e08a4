"""What to type instead. A choice is tried on the whole phase before it is offered.

A candidate maps paths of rows, rooted at the plan, to values: `{"train.global_batch": Count(8,
"sequences")}`. It is offered if the phase then has fewer errors than now, and none besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from itertools import islice
from typing import Literal, TypeAlias, cast

from compiler.planner.context import Context
from compiler.planner.numbers import nearest
from compiler.schema import PlanSpec
from dsl.diagnostics import Suggestion
from dsl.schema import AUTO, Auto, Count, Named, Pattern
from dsl.spelled import spelled
from dsl.suggestions import suggest

Rows: TypeAlias = Mapping[str, object]

TRIES = 12
"""Candidates that are planned, of those that arithmetic leaves: the nearest."""
OFFERED = 2
"""Choices that one help lists."""


def offer(context: Context, *candidates: Rows, remark: str = "") -> tuple[Suggestion, ...]:
    """The first of the candidates that mend the phase. Trying stops when enough are found."""
    working = (rows for rows in candidates[:TRIES] if mends(context, rows))
    return tuple(as_suggestion(context, rows, remark) for rows in islice(working, OFFERED))


def as_suggestion(context: Context, rows: Rows, remark: str = "") -> Suggestion:
    texts = {context.decisive(path): spelled(value) for path, value in rows.items()}
    return suggest(context.origins, context.name, texts, remark)


def mends(context: Context, rows: Rows, *, warning: bool = False) -> bool:
    """Whether the phase with these rows has fewer errors than now and none besides; where a mere
    `warning` is to be mended, no other errors than now."""
    if context.attempt is None:  # within an attempt only the errors count
        return False
    then, now = context.attempt(with_rows(context.spec, rows)), context.attempt(context.spec)
    return then <= now if warning else then < now


def axis_choices(
    context: Context, axis: Literal["tp", "cp"], wanted: int, candidates: Iterable[int]
) -> tuple[Suggestion, ...]:
    """Values of an axis to type: with these alone nothing else is wrong, or with `dp` left open, or
    with a batch that any mesh of these ranks divides.

    Where the plan has no such value, because other lines must change too, there is none.
    """
    tried = nearest(wanted, candidates, TRIES)
    for also in ({}, {"dp": AUTO}, {"dp": AUTO, **_whole_batch(context)}):
        changed = {path: value for path, value in also.items() if value is not context.spec.dp}
        found = [n for n in tried if mends(context, {axis: n, **changed})]
        if found:
            return tuple(
                as_suggestion(context, {axis: n, **changed}) for n in nearest(wanted, found)
            )
    return ()


def _whole_batch(context: Context) -> Rows:
    """The multiple of what all ranks compute at once that is nearest to the batch."""
    train, cluster = context.spec.train, context.spec.cluster
    if train.global_batch is None or train.seq_len is None:
        return {}
    at_once = 1 if isinstance(context.spec.microbatch, Auto) else context.spec.microbatch
    world = cluster.nodes * cluster.node.devices * at_once
    per_sequence = train.seq_len if train.global_batch.word == "tokens" else 1
    rounds = max(1, round(train.global_batch.value / per_sequence / world))
    batch = Count(rounds * world, "sequences")
    return {} if batch == train.global_batch else {"train.global_batch": batch}


def with_rows(spec: PlanSpec, rows: Rows) -> PlanSpec:
    """The spec with other values in some rows; of a layer pattern, in every kind of layer."""
    changed: object = spec
    for path, value in rows.items():
        changed = _with(changed, path.split("."), value)
    return cast(PlanSpec, changed)


def _with(owner: object, path: list[str], value: object) -> object:
    if not path:
        return value
    head, *rest = path
    if isinstance(owner, Pattern):
        pattern = cast(Pattern[object], owner)
        return replace(pattern, kinds=tuple(_with(kind, path, value) for kind in pattern.kinds))
    if isinstance(owner, Named):
        items = cast(Named[object], owner).items
        return Named(
            tuple((name, _with(one, rest, value) if name == head else one) for name, one in items)
        )
    if not is_dataclass(owner) or isinstance(owner, type):
        raise LookupError(f"no row {head} in {owner!r}")
    return replace(owner, **{head: _with(getattr(owner, head), rest, value)})
