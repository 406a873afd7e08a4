"""A frame is one entry being checked: its rows are computed when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from dsl.convert import Given, wrong_type
from dsl.diagnostics import Edit, Suggestion
from dsl.owner import Context
from dsl.parser import parse_value
from dsl.patterns import pattern
from dsl.problems.blocks import MissingField, NothingToRefine
from dsl.problems.values import NotBuilt, ValueCycle
from dsl.schema import Auto, Field, Named, NoDefault, entry_name, fields_of, is_entry
from dsl.scope import BROKEN, Trail
from dsl.settings import Setting, Written, fold
from dsl.show import expression_text
from dsl.source import Source, Span
from dsl.spec import Origin, OriginKind, Room
from dsl.suggestions import room_after
from dsl.tree import Replace, Value
from dsl.values import At, convert, evaluate


class Frame:
    """One entry being checked; `path` is where it stands in its block."""

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
        """`span` is what errors about the whole entry point at. `default` is an instance whose
        values stand in for rows nobody wrote."""
        self.entry, self.context, self.path, self.span = entry, context, path, span
        self.parent, self.default = parent, default
        self.fields = fields_of(entry)
        clauses = tuple(clauses)
        self.room = _room(clauses)
        self.folded = fold(entry, clauses, context.report)
        self.values: dict[str, object] = dict.fromkeys(self.folded.holes, BROKEN)
        self.active: list[str] = []

    @property
    def trail(self) -> Trail:
        return self.context.trail

    def enclosing(self, name: str) -> int | None:
        """A whole number that an entry around this one has in the row called `name`."""
        owner = self.parent
        while owner is not None and name not in owner.fields:
            owner = owner.parent
        value = None if owner is None else owner.value(name)
        return value if isinstance(value, int) else None

    def build(self) -> object:
        """The entry's instance, or BROKEN."""
        values = {name: self.value(name) for name in self.fields}
        if not self.folded.whole or any(value is BROKEN for value in values.values()):
            return BROKEN
        return self.entry(**values)

    def value(self, name: str) -> object:
        """The value of a row, computed once."""
        if name not in self.values:
            if name in self.active:
                self.values[name] = self.cycle(name)
            else:
                self.active.append(name)
                made = self.compute(self.fields[name])
                self.active.remove(name)
                self.values.setdefault(name, made)
        return self.values[name]

    def cycle(self, name: str) -> object:
        names = [*self.active[self.active.index(name) :], name]
        setting = self.folded.settings.get(name)
        span = self.span if setting is None else setting.span
        self.context.report(ValueCycle(span=span, name=name, chain=" -> ".join(names)))
        return BROKEN

    def compute(self, row: Field) -> object:
        setting = self.folded.settings.get(row.name)
        if setting is None:
            return self.left_out(row)
        assigned = setting.assigned
        span = setting.span if assigned is None else assigned.value.span
        kind = setting.kind if assigned is None else assigned.kind
        text = None if assigned is None else expression_text(assigned.value)
        self.record(row.name, Origin(kind, span, text))
        made = self.written(row, setting)
        if row.row.pending and made is not BROKEN and made != self.default_of(row):
            what = f"`{row.name}` with this value"
            remark = f"only the default `{_spelled(self.default_of(row))}` is"
            default = _spelled(self.default_of(row))
            edits = () if assigned is None else (Edit(span, default),)
            choices = (Suggestion(f"{row.name} = {default}", edits),)
            self.context.report(NotBuilt(span=span, what=what, remark=remark, choices=choices))
            return BROKEN
        return made

    def written(self, row: Field, setting: Setting) -> object:
        """The value of a row that somebody wrote about."""
        if setting.assigned is not None and row.shape.pattern is None:
            at = At(self, row, row.shape, setting.assigned, setting.refinements, row.name)
            return convert(setting.assigned.value, at)
        if row.shape.pattern is not None:
            return pattern(self, row, row.shape.pattern, setting)
        if row.shape.named is not None and setting.labelled:
            return self.named(row, row.shape.named, setting)
        return self.refined(row, setting.refinements, setting.span)

    def named(self, row: Field, entry: type, setting: Setting) -> object:
        items = tuple(
            (label, self.child(entry, clauses, f"{row.name}.{label}", setting.span))
            for label, clauses in setting.labelled.items()
        )
        return BROKEN if any(item is BROKEN for _, item in items) else Named(items)

    def refined(self, row: Field, refinements: tuple[Written, ...], span: Span) -> object:
        """`norm { eps = 1e-6 }` where nothing was assigned."""
        default = self.default_of(row)
        if default is not None and is_entry(type(default)):
            return self.child(type(default), refinements, row.name, span, default)
        if len(row.shape.entries) == 1:
            return self.child(row.shape.entries[0], refinements, row.name, span)
        if not row.shape.entries:
            self.context.report(wrong_type(Given(row, None, span, ""), row.shape, "a body"))
        elif not self.context.partial:
            choices = ", ".join(f"`{entry_name(entry)}`" for entry in row.shape.entries)
            self.context.report(NothingToRefine(span=span, field=row.name, components=choices))
        return BROKEN

    def default_of(self, row: Field) -> object:
        return row.default if self.default is None else getattr(self.default, row.name)

    def left_out(self, row: Field) -> object:
        """A row nobody wrote: the formula, the default, or an error."""
        if row.row.derived is not None and self.default is None:
            self.record(row.name, Origin(OriginKind.DERIVED, None, row.row.derived))
            return evaluate(formula(row.row.derived), self, row, row.shape, None)
        default = self.default_of(row)
        if default is not NoDefault.NO_DEFAULT:
            self.record(row.name, Origin(OriginKind.DEFAULT))
            return default
        if self.folded.whole and not self.context.partial:
            entry = entry_name(self.entry)
            self.context.report(
                MissingField(span=self.span, entry=entry, field=row.name, doc=row.row.doc)
            )
        return BROKEN

    def record(self, name: str, origin: Origin) -> None:
        self.context.origins.setdefault((self.context.block, self.below(name)), origin)

    def below(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def child(
        self,
        entry: type,
        clauses: Iterable[Written],
        name: str,
        span: Span,
        default: object = None,
    ) -> object:
        """The instance of an entry that stands in a row of this one."""
        # A block that is named here, such as a plan's model, sees its own rows only.
        parent = None if entry in self.context.kinds.values() else self
        frame = Frame(
            entry,
            clauses,
            context=self.context,
            path=self.below(name),
            span=span,
            parent=parent,
            default=default,
        )
        return frame.build()


def _room(clauses: tuple[Written, ...]) -> Room | None:
    """Where one more line of the body fits; None where the body has no line of a file yet."""
    own = tuple(one.clause for one in clauses if one.kind is not OriginKind.OVERRIDDEN)
    return room_after(own[-1:], own[-1].span) if own else None


def _spelled(default: object) -> str:
    """A default as one would write it."""
    match default:
        case None:
            return "none"
        case bool():
            return "true" if default else "false"
        case Auto():
            return "auto"
        case Named():
            return "no such block"
        case _:
            kind = cast(type, type(default))
            return entry_name(kind) if is_entry(kind) else f"{default}"


def formula(text: str) -> Value:
    """The expression of a `derived` row."""
    clause = parse_value(Source("schema", text)).tree.clauses[0]
    assert isinstance(clause, Replace), "a formula of the schema is an expression"
    return clause.value
