"""The tree against the schema: a `Spec`, or what is wrong, never both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dsl.diagnostics import Problem, Severity
from dsl.evaluate import EvaluationFailed
from dsl.frames import Frame
from dsl.owner import Context
from dsl.parser import parse
from dsl.problems.blocks import Duplicate, Misplaced
from dsl.problems.names import UnknownBlock
from dsl.problems.values import NotBuilt
from dsl.resolve import Module, Resolved, find, lineage
from dsl.schema import entries_under, entry_name, fields_of
from dsl.scope import BROKEN, Trail, let_value
from dsl.settings import Written
from dsl.show import expression_text
from dsl.source import Source, Span
from dsl.spec import Assert, Objective, Origin, OriginKind, Origins, Spec
from dsl.suggest import closest
from dsl.suggestions import room_after
from dsl.syntax import Limit, Unexpected
from dsl.tree import (
    Assertion,
    Automatic,
    Block,
    Component,
    Condition,
    Expression,
    Goal,
    Hole,
    Let,
    ListValue,
    Membership,
    Negation,
    Number,
    Operation,
    Path,
    Refine,
    Replace,
    Vary,
)

MAXIMUM_LETS = 64  # in one assert, those inside of others included
MAXIMUM_BLOCKS = 500
PLAN = "plan"
SWEEP = "sweep"


@dataclass(frozen=True)
class Checked:
    """`spec` is None exactly when one of `problems` is an error."""

    spec: Spec | None
    problems: tuple[Problem, ...]
    sources: Mapping[str, Source]  # the texts of overrides


def check(
    resolved: Resolved, schema: Mapping[str, type], overrides: Sequence[tuple[str, str]] = ()
) -> Checked:
    """Check every block of the root file; `overrides` are set in every plan."""
    checker = _Checker(schema)
    checker.override(overrides)
    if resolved.root is not None:
        checker.file(resolved.root)
    problems = tuple(dict.fromkeys((*resolved.problems, *checker.problems)))
    failed = any(problem.severity is Severity.ERROR for problem in problems)
    return Checked(None if failed else checker.spec(), problems, checker.sources)


@dataclass
class _Checker:
    schema: Mapping[str, type]
    problems: list[Problem] = field(default_factory=list[Problem])
    origins: dict[tuple[str, str], Origin] = field(default_factory=dict[tuple[str, str], Origin])
    blocks: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])
    asserts: dict[str, tuple[Assert, ...]] = field(default_factory=dict[str, tuple[Assert, ...]])
    objectives: dict[str, Objective] = field(default_factory=dict[str, Objective])
    overrides: list[Replace] = field(default_factory=list[Replace])
    sources: dict[str, Source] = field(default_factory=dict[str, Source])
    trail: Trail = field(default_factory=Trail)

    def report(self, problem: Problem) -> None:
        self.problems.append(problem)

    def spec(self) -> Spec:
        return Spec(self.blocks, self.asserts, self.objectives, Origins(self.origins))

    def override(self, overrides: Sequence[tuple[str, str]]) -> None:
        """`--set tp=4` as a clause; its text is a source of its own, so errors can point at it."""
        first: dict[str, Span] = {}
        for path, value in overrides:
            name = f"--set {path}" if path not in first else f"--set {path}, again"
            source = Source(name, f"{path} = {value}")
            self.sources[source.path] = source
            span = Span(source.path, 0, len(path))
            if path in first:
                problem = Duplicate(
                    span=span,
                    what=f"`{path}`",
                    verb="set",
                    first=first[path],
                    instead=f"give `--set {path}=...` once",
                )
                self.report(problem)
                continue
            first[path] = span
            parsed = parse(source)
            self.problems += parsed.problems
            clauses = parsed.tree.clauses
            if len(clauses) == 1 and isinstance(clauses[0], Replace):
                self.overrides.append(clauses[0])
            elif not parsed.problems:
                span = Span(source.path, 0, len(source.text))
                expected = "one `path = value`"
                self.report(Unexpected(span=span, expected=expected, found="something else"))

    def file(self, module: Module) -> None:
        if len(module.blocks) > MAXIMUM_BLOCKS:
            span = module.blocks[MAXIMUM_BLOCKS].head
            what, limit = f"the file has {len(module.blocks):,} blocks", f"{MAXIMUM_BLOCKS}"
            instead = "move blocks to a file of their own, and import it"
            self.report(Limit(span=span, what=what, limit=limit, instead=instead))
            return
        extended = self.extended(module)
        for clause in module.tree.clauses:
            match clause:
                case Block():
                    self.block(clause, module, id(clause) in extended)
                case Let():
                    self.let(clause, module)
                case Replace() | Refine() if not module.clean:
                    pass  # likely lost its block to an error that the parser told
                case Replace(path, _, _) | Refine(path, _, _, _):
                    remark = "fields stand in a block: `model NAME { ... }`"
                    what = f"the field `{path.text}`"
                    self.misplaced(path.span, what, remark)
                case Assertion(_, span):
                    self.misplaced(span, "an assert", "asserts stand in a plan")
                case Goal(_, _, span):
                    self.misplaced(span, "an objective", "the objective stands in a plan")
                case Vary(_, _, span) | Condition(_, span):
                    self.misplaced(span, "this line", "it belongs in a sweep")
                case _:
                    pass

    def misplaced(self, span: Span, what: str, remark: str) -> None:
        where = "at the top of a file"
        self.report(Misplaced(span=span, what=what, where=where, remark=remark))

    def extended(self, module: Module) -> set[int]:
        """Blocks of the file that others of it extend: they may lack fields."""
        found: set[int] = set()
        for block in module.blocks:
            chain = lineage(block, module, lambda problem: None)
            found |= {id(ancestor) for ancestor, _ in (chain or ())[:-1]}
        return found

    def block(self, block: Block, module: Module, partial: bool) -> None:
        kind = block.kind.text
        entry = self.schema.get(kind)
        if kind == SWEEP:
            self.report(NotBuilt(span=block.head, what="`sweep`"))
            return
        if entry is None:
            known = (*self.schema, SWEEP)
            self.report(
                UnknownBlock(
                    span=block.kind.span,
                    name=kind,
                    suggestion=closest(kind, known),
                    known=known,
                )
            )
            return
        if block.relation == "of":
            self.report(Misplaced(span=block.head, what="`of`", where=f"after a {kind}", remark=""))
            return
        chain = lineage(block, module, self.report)
        if chain is None:
            return
        context = Context(
            block.name.text, self.schema, self.report, self.origins, partial, self.trail
        )
        written = [
            Written(
                clause,
                home,
                OriginKind.WRITTEN if ancestor is block else OriginKind.INHERITED,
            )
            for ancestor, home in chain
            for clause in ancestor.body
        ]
        requirements = [w for w in written if isinstance(w.clause, Assertion | Goal)]
        if kind == PLAN:
            written = [w for w in written if not isinstance(w.clause, Assertion | Goal)]
            written += [Written(w, module, OriginKind.OVERRIDDEN) for w in self.overrides]
        room = room_after(block.body, block.span)
        self.origins[(block.name.text, "")] = Origin(OriginKind.WRITTEN, block.head, room=room)
        frame = Frame(entry, written, context=context, path="", span=block.head)
        made = frame.build()
        if kind == PLAN:
            self.require(block.name.text, requirements)
        if made is not BROKEN:
            self.blocks.setdefault(kind, {})[block.name.text] = made

    def require(self, plan: str, requirements: Sequence[Written]) -> None:
        """The plan's asserts and its objective."""
        asserts: list[Assert] = []
        for written in requirements:
            clause = written.clause
            if not isinstance(clause, Assertion | Goal):
                continue
            text = expression_text(clause.expression)
            closed = close(clause.expression, self.schema[PLAN], written.module, self.report)
            if isinstance(clause, Goal):
                minimize = clause.direction == "minimize"
                self.objectives[plan] = Objective(minimize, closed, clause.span, text)
            else:
                asserts.append(Assert(closed, clause.expression.span, text))
        self.asserts[plan] = tuple(asserts)

    def let(self, let: Let, module: Module) -> None:
        """A `let` is checked where it stands, so that a file of nothing else is checked too."""
        value = let.value
        if isinstance(value, Number | Negation | Operation | Membership):
            name = Path((let.name,), let.name.span)
            try:
                let_value(name, module, self.trail)
            except EvaluationFailed as failed:
                if failed.problem is not None:
                    self.report(failed.problem)
        if not isinstance(value, Component) or len(value.head.names) != 1:
            return
        entries = sorted(
            {e for kind in self.schema.values() for e in entries_under(kind)}, key=entry_name
        )
        named = [entry for entry in entries if entry_name(entry) == value.head.text]
        if value.head.text in module.names and value.head.text != let.name.text:
            return  # refines another `let`: checked where it is used
        if len(named) != 1:
            return
        context = Context(let.name.text, self.schema, self.report, self.origins, trail=self.trail)
        clauses = [Written(clause, module, OriginKind.WRITTEN) for clause in value.body]
        if not value.positional:
            Frame(named[0], clauses, context=context, path="", span=value.head.span).build()


def close(
    expression: Expression, entry: type, module: Module, report: Callable[[Problem], None]
) -> Expression:
    """The expression with `let` names replaced by what they stand for; rows of `entry` win."""

    def visit(part: Expression, home: Module) -> Expression:
        match part:
            case Path(names, _):
                first = names[0].text
                known = first in home.names or first in home.imports
                return let(part, home) if known and first not in fields_of(entry) else part
            case Negation():
                return replace(part, operand=visit(part.operand, home))
            case Operation():
                return replace(part, left=visit(part.left, home), right=visit(part.right, home))
            case Membership():
                element, collection = visit(part.element, home), visit(part.collection, home)
                return replace(part, element=element, collection=collection)
            case ListValue(items, span):
                return ListValue(
                    tuple(i if isinstance(i, Automatic) else visit(i, home) for i in items), span
                )
            case _:
                return part

    replaced = 0

    def let(path: Path, home: Module) -> Expression:
        nonlocal replaced
        replaced += 1
        if replaced > MAXIMUM_LETS:
            limit = f"{MAXIMUM_LETS} uses of `let`s"
            what, instead = "this needs too many values", "write values in place of some `let`s"
            report(Limit(span=expression.span, what=what, limit=limit, instead=instead))
            return Hole(path.span)
        try:
            let_value(path, home, Trail())  # an error in its value is reported here, once
        except EvaluationFailed as failed:
            if failed.problem is not None:
                report(failed.problem)
            return Hole(path.span)
        target = find(home, path, report)
        if target is None or not isinstance(target[0], Let):
            return Hole(path.span)
        value = target[0].value
        return Hole(path.span) if isinstance(value, Automatic) else visit(value, target[1])

    return visit(expression, module)
