"""What is written right of `=`, as the type of its row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, cast

from dsl.convert import Given, assignment, coerce, expected, warnings, wrong_type
from dsl.diagnostics import Label, Problem
from dsl.evaluate import Atom, EvaluationFailed, show_atom
from dsl.owner import Owner
from dsl.problems.blocks import Duplicate, WrongArguments
from dsl.problems.names import UnknownComponent, WrongWord
from dsl.problems.values import NotAuto, NotBuilt, WrongLength, WrongType
from dsl.resolve import Definition, Module, find, lineage
from dsl.schema import AUTO, Field, Shape, entry_name, fields_of
from dsl.scope import BROKEN, atom, holder, look
from dsl.settings import Assigned, Written
from dsl.show import expression_text, paths_in
from dsl.source import Span
from dsl.spec import OriginKind
from dsl.suggest import closest
from dsl.tree import (
    Automatic,
    Block,
    Component,
    Hole,
    Let,
    ListValue,
    Name,
    Nothing,
    Number,
    Operation,
    Path,
    Replace,
    Value,
)

MAXIMUM_ITEMS: Final = 20_000
"""Of a list that repeats another: `[4] * 20`. No model has more layers."""
ALIASES: Final = {"1f1b": "one_f_one_b"}
"""Words people type that cannot be names."""


@dataclass(frozen=True)
class At:
    """Where a value goes: the frame, the row, its type, and what refines the value there."""

    frame: Owner
    row: Field
    shape: Shape
    assigned: Assigned
    refinements: tuple[Written, ...]
    name: str

    @property
    def module(self) -> Module:
        return self.assigned.module

    def report(self, problem: Problem) -> object:
        self.frame.context.report(problem)
        return BROKEN

    def wrong_type(self, value: Value, found: str) -> object:
        return self.report(wrong_type(Given(self.row, value, value.span, ""), self.shape, found))


def convert(value: Value, at: At) -> object:
    """The checked value, or BROKEN."""
    match value:
        case Hole():
            return BROKEN
        case Automatic(choices, span):
            if choices is not None:
                return at.report(NotBuilt(span=span, what="narrowing `auto`"))
            if at.shape.auto:
                return AUTO
            wanted = expected(at.row, at.shape)
            return at.report(NotAuto(span=span, field=at.row.name, expected=wanted))
        case Nothing():
            return _nothing(value, at)
        case ListValue(items, _):
            if at.shape.items is None:
                return at.wrong_type(value, "a list")
            inner = replace(at, shape=at.shape.items, refinements=())
            made = [convert(item, inner) for item in items]
            return _listed(tuple(made), value, at)
        case Operation("*", ListValue() as one, Number(text, None, _), span) if text.isdecimal():
            times = min(int(text), MAXIMUM_ITEMS // max(1, len(one.items)))
            return convert(ListValue(one.items * times, span), at)
        case Path() | Component():
            return _named(value, at)
        case Number(text, None, span) if text in ALIASES:
            return _unknown_component(text, span, at, ALIASES[text])
        case _:
            if at.refinements:
                return at.wrong_type(value, "a value without fields")
            return evaluate(value, at.frame, at.row, at.shape, at.module)


def _listed(made: tuple[object, ...], value: ListValue, at: At) -> object:
    """A list against what its row says of lists."""
    row = at.row.row
    if any(item is BROKEN for item in made):
        return BROKEN
    if row.distinct:
        for place, item in enumerate(made):
            first = made.index(item)
            if first < place:
                kept = ", ".join(dict.fromkeys(expression_text(one) for one in value.items))
                span, what = value.items[place].span, f"`{expression_text(value.items[place])}`"
                choices = (assignment(at.row, f"[{kept}]", value.span),)
                before = value.items[first].span
                return at.report(
                    Duplicate(span=span, what=what, verb="named", first=before, choices=choices)
                )
    if row.length not in (None, len(made)):
        default = ", ".join(map(str, _items(at.row.default)))
        return at.report(
            WrongLength(
                span=value.span,
                field=at.row.name,
                expected=row.length,
                found=len(made),
                doc=row.doc,
                choices=(assignment(at.row, f"[{default}]", value.span),) if default else (),
            )
        )
    return made


def _items(value: object) -> tuple[object, ...]:
    return cast(tuple[object, ...], value) if isinstance(value, tuple) else ()


def _nothing(value: Nothing, at: At) -> object:
    """`none`: the word where a row has it, else nothing, which a later body starts from."""
    if "none" in at.shape.words:
        return "none"
    if not at.shape.none:
        return at.wrong_type(value, "`none`")
    if at.refinements:
        return at.frame.refined(at.row, at.refinements, at.refinements[0].clause.span)
    return None


def _named(value: Path | Component, at: At) -> object:
    """A word, a component, a block, a `let`, or an expression that is one name."""
    head = value if isinstance(value, Path) else value.head
    single = head.text if len(head.names) == 1 else None
    if isinstance(value, Path) and single is not None:
        listed = str in at.shape.scalars and at.shape is not at.row.shape
        if single in at.shape.words or listed:
            return single
        inner = at.shape.items
        word = closest(single, at.shape.words)
        if inner and not word and (single in inner.words or str in inner.scalars):
            return at.wrong_type(value, "one name")
    own: tuple[Written, ...] = ()
    if isinstance(value, Component):
        own = tuple(Written(clause, at.module, at.assigned.kind) for clause in value.body)
    at = replace(at, refinements=(*own, *at.refinements))
    for entry in at.shape.entries:
        if entry_name(entry) == single:
            return _component(entry, value, at)
    first = head.names[0]
    if first.text in at.module.names or first.text in at.module.imports:
        target = find(at.module, head, at.frame.context.report)
        return BROKEN if target is None else _defined(target[0], target[1], value, at)
    if isinstance(value, Path) and (
        at.shape.scalars or at.shape.count or holder(first.text, at.frame, at.module)
    ):
        return evaluate(value, at.frame, at.row, at.shape, at.module)
    return _unknown(head, at)


def _unknown(head: Path, at: At) -> object:
    """A name that is nothing the row takes."""
    if len(head.names) > 1:
        find(at.module, head, at.frame.context.report)
        return BROKEN
    if not at.module.whole:
        return BROKEN
    if at.shape.words and not at.shape.entries:
        words = at.shape.words
        return at.report(
            WrongWord(
                span=head.span,
                field=at.row.name,
                name=head.text,
                suggestion=closest(head.text, words),
                known=words,
            )
        )
    return _unknown_component(head.text, head.span, at)


def _unknown_component(name: str, span: Span, at: At, suggestion: str | None = None) -> object:
    known = [entry_name(entry) for entry in at.shape.entries]
    kinds = {kind for kind in known if kind in at.frame.context.kinds}
    if kinds:  # a plan's model: the models of the file
        known = [block.name.text for block in at.module.blocks if block.kind.text in kinds]
    lets = [let for let, made in at.module.names.items() if isinstance(made, Let)]
    return at.report(
        UnknownComponent(
            span=span,
            field=at.row.name,
            name=name,
            suggestion=suggestion or closest(name, [*known, *lets]),
            known=tuple(known),
        )
    )


def head_span(value: Value) -> Span:
    """What errors about a whole value point at."""
    return value.head.span if isinstance(value, Component) else value.span


def _component(entry: type, value: Path | Component, at: At) -> object:
    positional = value.positional if isinstance(value, Component) else ()
    rows = [row for row in fields_of(entry).values() if row.row.positional]
    if len(positional) > len(rows):
        takes = "one value without a name" if rows else "only named values"
        span = positional[len(rows)].span
        return at.report(WrongArguments(span=span, entry=entry_name(entry), expected=takes))
    first = [
        Written(
            Replace(Path((Name(row.name, one.span),), one.span), one, one.span),
            at.module,
            at.assigned.kind,
        )
        for row, one in zip(rows, positional, strict=False)
    ]
    return at.frame.child(entry, (*first, *at.refinements), at.name, head_span(value))


def _defined(definition: Definition, home: Module, value: Path | Component, at: At) -> object:
    """A name of the file or of an import."""
    if isinstance(value, Component) and value.positional:
        expects = "no values: it is a name for one"
        head = value.head.text
        span = value.positional[0].span
        return at.report(WrongArguments(span=span, entry=head, expected=expects))
    if isinstance(definition, Let):
        return _let(definition, home, at)
    return _block(definition, home, value, at)


def _let(let: Let, home: Module, at: At) -> object:
    """What a `let` names, by the names of its own file, refined by what stands here."""
    kind = at.assigned.kind if home is at.module else OriginKind.INHERITED
    inner = replace(at, assigned=Assigned(let.value, home, kind))
    try:
        with at.frame.trail.follow(let):
            return _let_value(let.value, inner)
    except EvaluationFailed as failed:
        return BROKEN if failed.problem is None else at.report(failed.problem)


def _let_value(value: Value, at: At) -> object:
    if isinstance(value, Path | Component | Automatic | Nothing | ListValue | Hole | Number):
        return convert(value, at)
    if at.refinements:
        return at.wrong_type(value, "a value without fields")
    return evaluate(value, at.frame, at.row, at.shape, at.module, rows=False)


def _block(block: Block, home: Module, value: Path | Component, at: At) -> object:
    """A block named as a value: a plan's model."""
    entry = at.frame.context.kinds.get(block.kind.text)
    if entry is None:
        return BROKEN  # told where the block stands
    if entry not in at.shape.entries:
        names = [entry_name(kind) for kind in at.shape.entries]
        wanted = "a " + " or ".join(names) if names else expected(at.row, at.shape)
        found = f"the {block.kind.text} `{block.name.text}`"
        return at.report(
            WrongType(span=value.span, field=at.row.name, expected=wanted, found=found)
        )
    chain = lineage(block, home, at.frame.context.report)
    if chain is None:
        return BROKEN
    clauses = [
        Written(clause, module, OriginKind.INHERITED)
        for ancestor, module in chain
        for clause in ancestor.body
    ]
    span = block.head if home is at.module else head_span(value)
    return at.frame.child(entry, (*clauses, *at.refinements), at.name, span)


def evaluate(
    value: Value,
    frame: Owner,
    row: Field,
    shape: Shape,
    module: Module | None,
    rows: bool = True,
) -> object:
    """An expression as the row's type. `module` is None for a formula of the schema; without
    `rows` it sees the names of its file only."""
    scope = frame if rows else None
    try:
        computed = atom(value, scope, module)
    except EvaluationFailed as failed:
        if failed.problem is not None:
            # The schema's own text is nobody's to edit: point at what it is computed for.
            span = failed.problem.span if module else frame.span
            frame.context.report(replace(failed.problem, span=span))
        return BROKEN
    labels = _labels(value, frame, module) if rows else ()
    span, others = value.span, labels
    if module is None:
        span, others = (labels[0].span, labels[1:]) if labels else (frame.span, ())
    arithmetic = _arithmetic(value, scope, module, computed)
    total = frame.enclosing("steps") if row.row.words == ("steps",) else None
    given = Given(row, value if module else None, span, arithmetic, others, frame.room, total)
    made = coerce(computed, shape, given)
    if isinstance(made, Problem):
        frame.context.report(made)
        return BROKEN
    for warning in warnings(value, row) if module else ():
        frame.context.report(warning)
    return made


def _arithmetic(value: Value, frame: Owner | None, module: Module | None, result: Atom) -> str:
    """`d_model / heads = 32 / 5 = 6.4`."""
    if isinstance(value, Number):
        return show_atom(result)
    values = {path.text: show_atom(look(path, frame, module)) for path in paths_in(value)}
    steps = [expression_text(value), expression_text(value, values), show_atom(result)]
    return " = ".join(dict.fromkeys(steps))


def _labels(value: Value, frame: Owner, module: Module | None) -> tuple[Label, ...]:
    """Where the rows that an expression reads are written, the frame's own first."""
    labels: list[tuple[bool, Label]] = []
    for path in paths_in(value):
        name = path.names[0].text
        owner: Owner | None = frame
        while owner is not None and name not in owner.fields:
            owner = owner.parent
        setting = None if owner is None else owner.folded.settings.get(name)
        if setting is None or setting.assigned is None or setting.assigned.value == value:
            continue
        span = setting.assigned.value.span
        text = f"`{path.text}` is {show_atom(look(path, frame, module))}"
        labels.append((owner is not frame, Label(span, text)))
    return tuple(label for _, label in sorted(labels, key=lambda pair: pair[0]))
