"""Clauses folded by row: what was assigned last, and what refines it since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dsl.diagnostics import Problem
from dsl.problems.blocks import Misplaced
from dsl.problems.names import UnknownField, UnknownName
from dsl.resolve import Module
from dsl.schema import Field, entry_name, fields_of
from dsl.source import Span
from dsl.spec import OriginKind
from dsl.suggest import closest
from dsl.tree import (
    Assertion,
    Block,
    Clause,
    Condition,
    Expression,
    Goal,
    Hole,
    Import,
    Let,
    Name,
    Path,
    Refine,
    Replace,
    Value,
    Vary,
)


@dataclass(frozen=True)
class Written:
    """A clause, the file whose names it uses, and how the block came by it."""

    clause: Clause
    module: Module
    kind: OriginKind


@dataclass(frozen=True)
class Assigned:
    """`= value`, the file whose names it uses, and how the block came by it."""

    value: Value
    module: Module
    kind: OriginKind


@dataclass(frozen=True)
class Variant:
    """`layer { ... }` or `layer where PREDICATE { ... }`."""

    predicate: Expression | None
    clauses: tuple[Written, ...]
    module: Module


@dataclass(frozen=True)
class Setting:
    """All that was written about one row, in order."""

    span: Span  # where the row is named last
    kind: OriginKind  # of the last clause
    assigned: Assigned | None = None
    refinements: tuple[Written, ...] = ()
    variants: tuple[Variant, ...] = ()
    labelled: Mapping[str, tuple[Written, ...]] = field(
        default_factory=dict[str, tuple[Written, ...]]
    )


@dataclass(frozen=True)
class Folded:
    """The settings of one entry. `holes` are rows whose text was wrong; `whole` is False where a
    line is lost altogether, so that a missing row may be that line."""

    settings: Mapping[str, Setting]
    holes: frozenset[str]
    whole: bool


def fold(entry: type, clauses: Iterable[Written], report: Callable[[Problem], None]) -> Folded:
    """Fold clauses in their order; later ones win."""
    folder = _Folder(entry, report)
    for written in clauses:
        folder.add(written)
    return Folded(folder.settings, frozenset(folder.holes), folder.whole)


class _Folder:
    def __init__(self, entry: type, report: Callable[[Problem], None]) -> None:
        self.entry, self.report = entry, report
        self.fields = fields_of(entry)
        self.settings: dict[str, Setting] = {}
        self.holes: set[str] = set()
        self.whole = True

    def add(self, written: Written) -> None:
        match written.clause:
            case Replace(Path((name,), _), value, _):
                self.assign(name, value, written)
            case Replace(Path((name, label, *rest), _), value, span) if rest and self.named(name):
                self.refine_labelled(name, label, (Replace(_below(rest), value, span),), written)
            case Replace(Path((name, *rest), _), value, span):
                self.refine(name, None, (Replace(_below(rest), value, span),), written)
            case Refine(Path((name,), _), predicate, body, _):
                self.refine(name, predicate, body, written)
            case Refine(Path((name, label), _), None, body, _) if self.named(name):
                self.refine_labelled(name, label, body, written)
            case Refine(Path((name, label, *rest), _), predicate, body, span) if self.named(name):
                inner = Refine(_below(rest), predicate, body, span)
                self.refine_labelled(name, label, (inner,), written)
            case Refine(Path((name, *rest), _), predicate, body, span):
                inner = Refine(_below(rest), predicate, body, span)
                self.refine(name, None, (inner,), written)
            case Block():
                self.label(written.clause, written)
            case Hole():
                self.whole = False
            case Import() | Let() | Assertion() | Goal() | Vary() | Condition():
                self.misplaced(written.clause)
            case _:
                raise AssertionError("a path has at least one name")

    def assign(self, name: Name, value: Value, by: Written) -> None:
        if isinstance(value, Hole):
            self.holes.add(name.text)
            return
        if self.field(name) is None:
            return
        assigned = Assigned(value, by.module, by.kind)
        self.settings[name.text] = Setting(name.span, by.kind, assigned)

    def refine(
        self, name: Name, predicate: Expression | None, body: tuple[Clause, ...], by: Written
    ) -> None:
        found = self.field(name)
        if found is None:
            return
        clauses = tuple(Written(clause, by.module, by.kind) for clause in body)
        old = self.settings.get(name.text, Setting(name.span, by.kind))
        if found.shape.pattern is not None:
            variants = (*old.variants, Variant(predicate, clauses, by.module))
            self.settings[name.text] = Setting(name.span, by.kind, old.assigned, variants=variants)
        elif isinstance(predicate, Hole):
            self.holes.add(name.text)
        elif predicate is not None:
            where = f"after `{name.text}`"
            remark = "only layers differ by a condition"
            self.report(Misplaced(span=predicate.span, what="`where`", where=where, remark=remark))
        else:
            self.settings[name.text] = Setting(
                name.span, by.kind, old.assigned, (*old.refinements, *clauses)
            )

    def label(self, block: Block, by: Written) -> None:
        found = self.field(block.kind)
        if found is None:
            return
        if found.shape.named is None or block.parent is not None:
            named = block.parent is None
            span = block.name.span if block.parent is None else block.parent.span
            what = f"the name `{block.name.text}`" if named else f"`{block.relation}`"
            where = f"after `{block.kind.text}`"
            self.report(Misplaced(span=span, what=what, where=where))
            return
        old = self.settings.get(block.kind.text, Setting(block.kind.span, by.kind))
        clauses = tuple(Written(clause, by.module, by.kind) for clause in block.body)
        before = old.labelled.get(block.name.text, ())
        labelled = {**old.labelled, block.name.text: (*before, *clauses)}
        self.settings[block.kind.text] = Setting(block.kind.span, by.kind, labelled=labelled)

    def named(self, name: Name) -> bool:
        """Whether the row holds bodies with names."""
        return name.text in self.fields and self.fields[name.text].shape.named is not None

    def refine_labelled(
        self, name: Name, label: Name, body: tuple[Clause, ...], by: Written
    ) -> None:
        """`phase.long.steps = 5`: of a phase that stands above."""
        labelled = self.settings.get(name.text, Setting(name.span, by.kind)).labelled
        if label.text not in labelled:
            suggestion = closest(label.text, labelled)
            known = tuple(labelled)
            self.report(
                UnknownName(span=label.span, name=label.text, suggestion=suggestion, known=known)
            )
            return
        clauses = (Written(clause, by.module, by.kind) for clause in body)
        labelled = {**labelled, label.text: (*labelled[label.text], *clauses)}
        self.settings[name.text] = Setting(name.span, by.kind, labelled=labelled)

    def field(self, name: Name) -> Field | None:
        found = self.fields.get(name.text)
        if found is None:
            suggestion = closest(name.text, self.fields)
            if suggestion is not None:  # what is surely meant is not missing as well
                self.holes.add(suggestion)
            self.report(
                UnknownField(
                    span=name.span,
                    entry=entry_name(self.entry),
                    name=name.text,
                    suggestion=suggestion,
                    known=tuple(self.fields),
                )
            )
        return found

    def misplaced(self, clause: Import | Let | Assertion | Goal | Vary | Condition) -> None:
        match clause:
            case Import():
                what, remark = "an import", "imports stand at the top of a file"
            case Let():
                what, remark = "a `let`", "`let` stands at the top of a file"
            case Assertion():
                what, remark = "an assert", "asserts stand in a plan"
            case Goal():
                what, remark = "an objective", "the objective stands in a plan"
            case Vary() | Condition():
                what, remark = "this line", "`vary` and `where` stand in a sweep"
        where = f"in `{entry_name(self.entry)}`"
        self.report(Misplaced(span=clause.span, what=what, where=where, remark=remark))


def _below(names: list[Name]) -> Path:
    """The path without its first name."""
    return Path(tuple(names), names[0].span.to(names[-1].span))
