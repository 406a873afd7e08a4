"""Bodies to entries: clauses are folded into settings by row, rows are computed when asked for.

A frame is one entry being checked. Its rows are lazy, so an expression may name any row of its
own frame or of an enclosing one, whatever the order; a row that asks for itself is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from dsl.convert import Given, coerce, expected, warnings, wrong_type
from dsl.diagnostics import Problem
from dsl.evaluate import Atom, EvaluationFailed, Listed, compute, describe, show_atom
from dsl.parser import parse_value
from dsl.problems import (
    Misplaced,
    MissingField,
    NotAuto,
    NotBuilt,
    NothingToRefine,
    UnknownComponent,
    UnknownField,
    UnknownName,
    ValueCycle,
    WrongArguments,
    WrongType,
    WrongWord,
)
from dsl.resolve import Module, find, lineage
from dsl.schema import (
    AUTO,
    Auto,
    Count,
    Field,
    Named,
    NoDefault,
    Pattern,
    Shape,
    entry_name,
    fields_of,
    is_entry,
)
from dsl.show import expression_text, paths_in
from dsl.source import Source, Span
from dsl.spec import Origin, OriginKind
from dsl.suggest import closest
from dsl.tree import (
    Assertion,
    Automatic,
    Block,
    Clause,
    Component,
    Expression,
    Goal,
    Hole,
    Import,
    Let,
    ListValue,
    Name,
    Nothing,
    Number,
    Path,
    Refine,
    Replace,
    Value,
)
from dsl.units import Quantity

ALIASES: Final = {"1f1b": "one_f_one_b"}
"""Words people type that cannot be names."""


class Broken(Enum):
    """A value that has an error, told already; whatever depends on it keeps silent."""

    BROKEN = "broken"


BROKEN: Final = Broken.BROKEN


@dataclass(frozen=True)
class Written:
    """A clause, the file whose names it uses, and whose it is."""

    clause: Clause
    module: Module
    kind: OriginKind


@dataclass(frozen=True)
class Assigned:
    """`= value`, where it stands."""

    value: Value
    module: Module
    kind: OriginKind


@dataclass(frozen=True)
class Setting:
    """All that was written about one row, in order."""

    span: Span  # where the row is named last
    assigned: Assigned | None = None
    refinements: tuple[Written, ...] = ()
    variants: tuple[tuple[Expression | None, tuple[Written, ...], Module], ...] = ()
    labelled: Mapping[str, tuple[Written, ...]] = field(
        default_factory=dict[str, tuple[Written, ...]]
    )


@dataclass
class Context:
    """What all frames of one block share."""

    block: str
    kinds: Mapping[str, type]  # block kind -> entry
    report: Callable[[Problem], None]
    origins: dict[tuple[str, str], Origin]
    partial: bool = False  # the block is there to be extended: fields may be missing
    lets: list[Let] = field(default_factory=list[Let])  # being followed
    sources: Mapping[str, Source] = field(default_factory=dict[str, Source])

    def text(self, value: Value) -> str:
        return expression_text(value)


Extra: TypeAlias = Mapping[str, Atom]


class Frame:
    """One entry being checked: `path` is where it stands in its block."""

    def __init__(
        self,
        entry: type,
        clauses: Iterable[Written],
        *,
        context: Context,
        path: str,
        span: Span,
        parent: Frame | None = None,
        default: object = None,
    ) -> None:
        self.entry, self.path, self.span = entry, path, span
        self.context, self.parent, self.default = context, parent, default
        self.fields = fields_of(entry)
        self.settings: dict[str, Setting] = {}
        self.values: dict[str, object] = {}
        self.active: list[str] = []
        self.whole = True
        for written in clauses:
            self.fold(written)

    # -- clauses to settings ---------------------------------------------------------------

    def fold(self, written: Written) -> None:
        match written.clause:
            case Replace(Path((name,), _), Hole(), _):
                if self.field(name) is not None:
                    self.values[name.text] = BROKEN
            case Replace(Path((name,), _), value, _):
                if self.field(name) is not None:
                    assigned = Assigned(value, written.module, written.kind)
                    self.settings[name.text] = Setting(name.span, assigned)
            case Replace(Path((name, *rest), _), value, span):
                below = Replace(Path(tuple(rest), rest[0].span.to(rest[-1].span)), value, span)
                self.refine(name, None, (below,), written)
            case Refine(Path((name,), _), predicate, body, _):
                self.refine(name, predicate, body, written)
            case Refine(Path((name, *rest), _), predicate, body, span):
                below = Path(tuple(rest), rest[0].span.to(rest[-1].span))
                self.refine(name, None, (Refine(below, predicate, body, span),), written)
            case Block():
                self.label(written.clause, written)
            case Hole():
                self.whole = False
            case _:
                self.misplaced(written.clause)

    def misplaced(self, clause: Clause) -> None:
        words = {Import: "an import", Let: "a `let`", Assertion: "an assert", Goal: "an objective"}
        what = words.get(type(clause), "this line")
        remark = "move it to the top of the file" if isinstance(clause, Import | Let) else ""
        where = f"in `{entry_name(self.entry)}`"
        self.context.report(Misplaced(span=clause.span, what=what, where=where, remark=remark))

    def field(self, name: Name) -> Field | None:
        found = self.fields.get(name.text)
        if found is None:
            self.context.report(
                UnknownField(
                    span=name.span,
                    entry=entry_name(self.entry),
                    name=name.text,
                    suggestion=closest(name.text, self.fields),
                    known=tuple(self.fields),
                )
            )
        return found

    def refine(
        self, name: Name, predicate: Expression | None, body: tuple[Clause, ...], by: Written
    ) -> None:
        found = self.field(name)
        if found is None:
            return
        clauses = tuple(Written(clause, by.module, by.kind) for clause in body)
        old = self.settings.get(name.text, Setting(name.span))
        if found.shape.pattern is not None:
            variants = (*old.variants, (predicate, clauses, by.module))
            self.settings[name.text] = Setting(name.span, old.assigned, variants=variants)
        elif predicate is not None:
            what = "`where`"
            where = f"after `{name.text}`"
            self.context.report(Misplaced(span=predicate.span, what=what, where=where))
        else:
            refinements = (*old.refinements, *clauses)
            self.settings[name.text] = Setting(name.span, old.assigned, refinements)

    def label(self, block: Block, by: Written) -> None:
        found = self.field(block.kind)
        if found is None:
            return
        if found.shape.named is None or block.relation is not None:
            span = block.name.span if block.parent is None else block.parent.span
            what = f"the name `{block.name.text}`" if block.parent is None else "`extends`"
            where = f"after `{block.kind.text}`"
            self.context.report(Misplaced(span=span, what=what, where=where))
            return
        old = self.settings.get(block.kind.text, Setting(block.kind.span))
        clauses = tuple(Written(clause, by.module, by.kind) for clause in block.body)
        before = old.labelled.get(block.name.text, ())
        labelled = {**old.labelled, block.name.text: (*before, *clauses)}
        self.settings[block.kind.text] = Setting(block.kind.span, labelled=labelled)

    # -- settings to values ----------------------------------------------------------------

    def build(self) -> object:
        """The entry's instance, or BROKEN."""
        values = {name: self.value(name) for name in self.fields}
        if not self.whole or any(value is BROKEN for value in values.values()):
            return BROKEN
        return self.entry(**values)

    def value(self, name: str) -> object:
        """The value of a row, computed once."""
        if name in self.values:
            return self.values[name]
        if name in self.active:
            cycle = [*self.active[self.active.index(name) :], name]
            setting = self.settings.get(name)
            span = self.span if setting is None else setting.span
            self.context.report(ValueCycle(span=span, name=name, chain=" -> ".join(cycle)))
            self.values[name] = BROKEN
            return BROKEN
        self.active.append(name)
        made = self.compute(self.fields[name])
        self.active.remove(name)
        self.values.setdefault(name, made)
        return self.values[name]

    def compute(self, row: Field) -> object:
        setting = self.settings.get(row.name)
        if setting is None:
            return self.left_out(row)
        if setting.assigned is not None:
            span, kind = setting.assigned.value.span, setting.assigned.kind
            text = expression_text(setting.assigned.value)
            self.record(row.name, Origin(kind, span, text))
        else:
            last = (*setting.refinements, *(c for v in setting.variants for c in v[1]))
            kind = last[-1].kind if last else OriginKind.WRITTEN
            self.record(row.name, Origin(kind, setting.span))
        made = self.from_setting(row, setting)
        if row.row.pending and made is not BROKEN and made != self.default_of(row):
            span = setting.span if setting.assigned is None else setting.assigned.value.span
            what = f"`{row.name}` other than the default"
            self.context.report(NotBuilt(span=span, what=what))
            return BROKEN
        return made

    def from_setting(self, row: Field, setting: Setting) -> object:
        if row.shape.pattern is not None:
            from dsl.patterns import pattern

            return pattern(self, row, row.shape.pattern, setting)
        if row.shape.named is not None and setting.assigned is None:
            items: list[tuple[str, object]] = []
            for label, clauses in setting.labelled.items():
                items.append(
                    (
                        label,
                        self.child(row.shape.named, clauses, f"{row.name}.{label}", setting.span),
                    )
                )
            return BROKEN if any(i[1] is BROKEN for i in items) else Named(tuple(items))
        if setting.assigned is not None:
            assigned = setting.assigned
            return self.convert(
                row, row.shape, assigned.value, assigned, setting.refinements, row.name
            )
        return self.refined_default(row, setting)

    def refined_default(self, row: Field, setting: Setting) -> object:
        """`norm { eps = 1e-6 }` where nothing was assigned."""
        default = self.default_of(row)
        if default is not None and is_entry(type(default)):
            return self.child(type(default), setting.refinements, row.name, setting.span, default)
        if len(row.shape.entries) == 1:
            return self.child(row.shape.entries[0], setting.refinements, row.name, setting.span)
        if not row.shape.entries:
            given = Given(row, None, setting.span, "")
            self.context.report(wrong_type(given, row.shape, "a body"))
            return BROKEN
        choices = ", ".join(f"`{entry_name(entry)}`" for entry in row.shape.entries)
        if not self.context.partial:
            self.context.report(NothingToRefine(span=setting.span, field=row.name, choices=choices))
        return BROKEN

    def default_of(self, row: Field) -> object:
        if self.default is not None:
            return getattr(self.default, row.name)
        return row.default

    def left_out(self, row: Field) -> object:
        """A row nobody wrote: the default, the formula, or an error."""
        default = self.default_of(row)
        if row.row.derived is not None and self.default is None:
            return self.derived(row, row.row.derived)
        if default is not NoDefault.NO_DEFAULT:
            self.record(row.name, Origin(OriginKind.DEFAULT))
            return default
        if self.whole and not self.context.partial:
            self.context.report(
                MissingField(
                    span=self.span,
                    entry=entry_name(self.entry),
                    field=row.name,
                    doc=row.row.doc,
                )
            )
        return BROKEN

    def derived(self, row: Field, formula: str) -> object:
        clause = parse_value(Source("schema", formula)).tree.clauses[0]
        assert isinstance(clause, Replace), "a formula of the schema is an expression"
        self.record(row.name, Origin(OriginKind.DERIVED, None, formula))
        return self.evaluate(row, row.shape, clause.value, None, row.name)

    def record(self, name: str, origin: Origin) -> None:
        path = f"{self.path}.{name}" if self.path else name
        self.context.origins.setdefault((self.context.block, path), origin)

    def child(
        self,
        entry: type,
        clauses: Iterable[Written],
        name: str,
        span: Span,
        default: object = None,
    ) -> object:
        path = f"{self.path}.{name}" if self.path else name
        # A block that is named here, such as a plan's model, sees its own rows only.
        parent = None if entry in self.context.kinds.values() else self
        frame = Frame(
            entry,
            clauses,
            context=self.context,
            path=path,
            span=span,
            parent=parent,
            default=default,
        )
        return frame.build()

    # -- values ----------------------------------------------------------------------------

    def convert(
        self,
        row: Field,
        shape: Shape,
        value: Value,
        at: Assigned,
        refinements: tuple[Written, ...],
        name: str,
    ) -> object:
        """The checked value of what is written right of `=`."""
        given = Given(row, value, value.span, "")
        match value:
            case Hole():
                return BROKEN
            case Automatic(choices, span):
                if choices is not None:
                    self.context.report(NotBuilt(span=span, what="narrowing `auto`"))
                    return BROKEN
                if shape.auto:
                    return AUTO
                self.context.report(
                    NotAuto(span=span, field=row.name, expected=expected(row, shape))
                )
                return BROKEN
            case Nothing(span):
                if "none" in shape.words:
                    return "none"
                if shape.none:
                    return self.refused(refinements, row, span) if refinements else None
                self.context.report(wrong_type(given, shape, "`none`"))
                return BROKEN
            case ListValue(items, _) if shape.items is not None:
                inner = shape.items
                made = [self.convert(row, inner, item, at, (), name) for item in items]
                return BROKEN if any(one is BROKEN for one in made) else tuple(made)
            case Path() | Component():
                return self.named_value(row, shape, value, at, refinements, name)
            case Number(text, None, span) if text in ALIASES:
                self.unknown_component(row, shape, text, span, ALIASES[text])
                return BROKEN
            case _:
                return self.evaluate(row, shape, value, at.module, name)

    def refused(self, refinements: tuple[Written, ...], row: Field, span: Span) -> object:
        """`rope = none` and then `rope { ... }`: there is nothing to refine any more."""
        setting = Setting(refinements[0].clause.span, refinements=refinements)
        if len(row.shape.entries) == 1:
            return self.child(row.shape.entries[0], refinements, row.name, setting.span)
        return self.refined_default(row, setting)

    def named_value(
        self,
        row: Field,
        shape: Shape,
        value: Path | Component,
        at: Assigned,
        refinements: tuple[Written, ...],
        name: str,
    ) -> object:
        """A word, a component, a block, a `let`, or an expression that is one name."""
        head = value if isinstance(value, Path) else value.head
        single = head.text if len(head.names) == 1 else None
        if isinstance(value, Path) and single is not None:
            if single in shape.words:
                return single
            if str in shape.scalars and shape is not row.shape:
                return single  # a list of names
        body: tuple[Written, ...] = refinements
        if isinstance(value, Component):
            own = tuple(Written(clause, at.module, at.kind) for clause in value.body)
            body = (*own, *refinements)
        for entry in shape.entries:
            if entry_name(entry) == single:
                return self.component(entry, value, at, body, name)
        target = self.definition(row, shape, head, at)
        if target is None:
            return BROKEN
        if target is self:  # not a definition: rows of this frame or an enclosing one
            if isinstance(value, Component):
                self.unknown_component(row, shape, head.text, head.span, None)
                return BROKEN
            return self.evaluate(row, shape, value, at.module, name)
        definition, home = target
        if isinstance(definition, Let):
            return self.follow(row, shape, definition, home, at, body, name)
        return self.block(row, shape, definition, home, value, body, name)

    def definition(self, row: Field, shape: Shape, head: Path, at: Assigned):
        """What the name stands for; this frame itself where it is no definition of the file."""
        first = head.names[0].text
        module = at.module
        if first in module.names or first in module.imports:
            return find(module, head, self.context.report)
        if shape.scalars or shape.count or self.sees(first):
            return self
        if len(head.names) > 1:
            return find(module, head, self.context.report)
        if module.whole:
            if shape.words and not shape.entries:
                suggestion = closest(first, shape.words)
                self.context.report(
                    WrongWord(
                        span=head.span,
                        field=row.name,
                        name=first,
                        suggestion=suggestion,
                        known=shape.words,
                    )
                )
            else:
                self.unknown_component(row, shape, first, head.span, None, module)
        return None

    def unknown_component(
        self,
        row: Field,
        shape: Shape,
        name: str,
        span: Span,
        suggestion: str | None,
        module: Module | None = None,
    ) -> None:
        known = [entry_name(entry) for entry in shape.entries]
        kinds = {entry_name(entry) for entry in shape.entries} & set(self.context.kinds)
        if module is not None and kinds:
            known = [b.name.text for b in module.blocks if b.kind.text in kinds]
        self.context.report(
            UnknownComponent(
                span=span,
                field=row.name,
                name=name,
                suggestion=suggestion or closest(name, known),
                known=tuple(known),
            )
        )

    def sees(self, name: str) -> bool:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.fields:
                return True
            frame = frame.parent
        return False

    def component(
        self,
        entry: type,
        value: Path | Component,
        at: Assigned,
        body: tuple[Written, ...],
        name: str,
    ) -> object:
        positional = value.positional if isinstance(value, Component) else ()
        rows = [row for row in fields_of(entry).values() if row.row.positional]
        if len(positional) > len(rows):
            takes = "only named values" if not rows else "one value without a name"
            span = positional[len(rows)].span
            self.context.report(WrongArguments(span=span, entry=entry_name(entry), expected=takes))
            return BROKEN
        first = [
            Written(
                Replace(Path((Name(row.name, given.span),), given.span), given, given.span),
                at.module,
                at.kind,
            )
            for row, given in zip(rows, positional, strict=False)
        ]
        return self.child(entry, (*first, *body), name, value.span)

    def follow(
        self,
        row: Field,
        shape: Shape,
        let: Let,
        home: Module,
        at: Assigned,
        body: tuple[Written, ...],
        name: str,
    ) -> object:
        """The value of a `let`, in its own file, refined by what stands here."""
        if any(let is known for known in self.context.lets):
            chain = " -> ".join([known.name.text for known in self.context.lets] + [let.name.text])
            self.context.report(ValueCycle(span=let.name.span, name=let.name.text, chain=chain))
            return BROKEN
        self.context.lets.append(let)
        kind = OriginKind.INHERITED if home is not at.module else at.kind
        made = self.convert(row, shape, let.value, Assigned(let.value, home, kind), body, name)
        self.context.lets.pop()
        return made

    def block(
        self,
        row: Field,
        shape: Shape,
        block: Block,
        home: Module,
        value: Value,
        body: tuple[Written, ...],
        name: str,
    ) -> object:
        """A block named as a value: a plan's model."""
        entry = self.context.kinds.get(block.kind.text)
        if entry is None:
            return BROKEN  # told where the block stands
        if entry not in shape.entries:
            found = f"the {block.kind.text} `{block.name.text}`"
            given = Given(row, value, value.span, "")
            self.context.report(wrong_type(given, shape, found))
            return BROKEN
        chain = lineage(block, home, self.context.report)
        if chain is None:
            return BROKEN
        clauses = [
            Written(clause, module, OriginKind.INHERITED)
            for ancestor, module in chain
            for clause in ancestor.body
        ]
        return self.child(entry, (*clauses, *body), name, value.span)

    # -- expressions -----------------------------------------------------------------------

    def evaluate(
        self, row: Field, shape: Shape, value: Value, module: Module | None, name: str
    ) -> object:
        """An expression, evaluated in this frame, as the row's type."""
        try:
            atom = self.atom(value, module)
        except EvaluationFailed as failed:
            if failed.problem is not None:
                self.context.report(failed.problem)
            return BROKEN
        span = self.span if module is None else value.span
        given = Given(row, value if module else None, span, self.arithmetic(value, module, atom))
        made = coerce(atom, shape, given)
        if isinstance(made, Problem):
            self.context.report(made)
            return BROKEN
        for warning in warnings(value, row) if module else ():
            self.context.report(warning)
        return made

    def atom(self, value: Value, module: Module | None, extra: Extra | None = None) -> Atom:
        def look(path: Path) -> Atom:
            if extra is not None and path.text in extra:
                return extra[path.text]
            return self.look(path, module)

        return compute(value, look)

    def arithmetic(self, value: Value, module: Module | None, atom: Atom) -> str:
        """`d_model / heads = 32 / 5 = 6.4`."""
        if isinstance(value, Number):
            return show_atom(atom)
        values = {path.text: show_atom(self.look(path, module)) for path in paths_in(value)}
        steps = [expression_text(value), expression_text(value, values), show_atom(atom)]
        return " = ".join(dict.fromkeys(steps))

    def look(self, path: Path, module: Module | None) -> Atom:
        """A name in an expression: own rows, enclosing rows, then the file's names."""
        first = path.names[0].text
        frame: Frame | None = self
        while frame is not None:
            # `d_model = d_model` means the name outside, not itself.
            if first in frame.fields and not (frame.active[-1:] == [first] and module):
                return self.row_atom(frame, path)
            frame = frame.parent
        if module is None:
            raise EvaluationFailed(None)
        if first not in module.names and first not in module.imports:
            if not module.whole:
                raise EvaluationFailed(None)
            known = self.visible(module)
            raise EvaluationFailed(
                UnknownName(
                    span=path.names[0].span,
                    name=first,
                    suggestion=closest(first, known),
                    known=tuple(sorted({*module.names, *module.imports})),
                )
            )
        return self.let_atom(path, module)

    def visible(self, module: Module) -> list[str]:
        names = [*module.names, *module.imports]
        frame: Frame | None = self
        while frame is not None:
            names += frame.fields
            frame = frame.parent
        return names

    def let_atom(self, path: Path, module: Module) -> Atom:
        problems: list[Problem] = []
        target = find(module, path, problems.append)
        if target is None:
            raise EvaluationFailed(problems[0] if problems else None)
        definition, home = target
        if isinstance(definition, Block):
            found = f"the {definition.kind.text} `{definition.name.text}`"
            raise EvaluationFailed(
                WrongType(span=path.span, field=path.text, expected="a value", found=found)
            )
        if any(definition is known for known in self.context.lets):
            name = definition.name
            raise EvaluationFailed(ValueCycle(span=name.span, name=name.text, chain=path.text))
        self.context.lets.append(definition)
        try:
            return compute(definition.value, lambda inner: self.let_atom_of(inner, home))
        finally:
            self.context.lets.pop()

    def let_atom_of(self, path: Path, home: Module) -> Atom:
        """A name in the value of a `let`: only names of its file."""
        first = path.names[0]
        if first.text in home.names or first.text in home.imports:
            return self.let_atom(path, home)
        known = sorted({*home.names, *home.imports})
        problem = UnknownName(
            span=first.span,
            name=first.text,
            suggestion=closest(first.text, known),
            known=tuple(known),
        )
        raise EvaluationFailed(problem if home.whole else None)

    def row_atom(self, frame: Frame, path: Path) -> Atom:
        """A row's value as an operand; `rope.theta` reads inside."""
        value = frame.value(path.names[0].text)
        row = frame.fields[path.names[0].text]
        for name in path.names[1:]:
            if value is BROKEN:
                break
            rows = fields_of(type(value)) if is_entry(type(value)) else {}
            if name.text not in rows:
                entry = entry_name(type(value)) if rows else row.name
                suggestion = closest(name.text, rows)
                raise EvaluationFailed(
                    UnknownField(span=name.span, entry=entry, name=name.text, suggestion=suggestion)
                )
            row, value = rows[name.text], getattr(value, name.text)
        if value is BROKEN:
            raise EvaluationFailed(None)
        return _operand(value, row, path)


def _operand(value: object, row: Field, path: Path) -> Atom:
    match value:
        case None | bool() | str():
            return value
        case int() | float():
            quantity = Quantity.of(value, row.row.dimension)
            word = row.row.words[0] if len(row.row.words) == 1 else None
            return Quantity(quantity.number, quantity.dimensions, word)
        case Count(number, word):
            return Quantity(number, word=word)
        case tuple():
            items = value  # pyright: ignore[reportUnknownVariableType] (checked one by one)
            return Listed(tuple(_operand(item, row, path) for item in items))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            found = "`auto`" if isinstance(value, Auto) else f"`{_kind(value)}`"
            raise EvaluationFailed(
                WrongType(
                    span=path.span, field=path.text, expected="a value to compute with", found=found
                )
            )


def _kind(value: object) -> str:
    if isinstance(value, Pattern | Named):
        return "a group of blocks"
    return entry_name(type(value))


__all__ = ["BROKEN", "Assigned", "Broken", "Context", "Frame", "Setting", "Written", "describe"]
