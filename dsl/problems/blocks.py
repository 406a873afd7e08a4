"""Lines that are missing, repeated, or in the wrong place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class MissingField(Problem):
    """A field without a default is not set.

    Set it in the block itself, or in the block it extends.
    """

    slug: ClassVar[str] = "missing-field"
    title: ClassVar[str] = "`{entry}` needs `{field}`"
    label: ClassVar[str] = "`{field}`: {doc}"

    entry: str
    field: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class NothingToRefine(Problem):
    """`field { ... }` refines a value, but there is none yet, and more than one kind it could be.

    Name the component: `attention = gqa { ... }`.
    """

    slug: ClassVar[str] = "nothing-to-refine"
    title: ClassVar[str] = "`{field}` has no value to refine"
    label: ClassVar[str] = "write `{field} = NAME {{ ... }}` with one of {components}"

    field: str
    components: str


@dataclass(frozen=True, kw_only=True)
class WrongArguments(Problem):
    """A component gets more values without a name than it takes.

    At most one value can be given without its name, where the component has a field for it:
    `sliding(4Ki)`. All others are written `name = value`.
    """

    slug: ClassVar[str] = "wrong-arguments"
    title: ClassVar[str] = "`{entry}` takes {expected}"
    label: ClassVar[str] = "write `name = value`"

    entry: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class Duplicate(Problem):
    """One body says the same thing twice, or one list names the same thing twice.

    A refinement in another body may set a field again; within one body the second would silently
    win, so it is an error. The same holds for a path that `--set` gives twice.
    """

    slug: ClassVar[str] = "duplicate"
    title: ClassVar[str] = "{what} is {verb} twice here"
    label: ClassVar[str] = "again here"

    what: str
    verb: str
    first: Span
    instead: str = ""

    def secondary(self) -> tuple[Label, ...]:
        return (Label(self.first, "first here"),)

    def helps(self) -> tuple[str, ...]:
        return (self.instead,) * bool(self.instead)


@dataclass(frozen=True, kw_only=True)
class Misplaced(Problem):
    """A line is right by itself and stands where it has no meaning.

    Imports, `let`s and blocks stand at the top of a file; asserts and an objective in a plan;
    `vary` and `where` in a sweep.
    """

    slug: ClassVar[str] = "misplaced"
    title: ClassVar[str] = "{what} cannot stand {where}"
    label: ClassVar[str] = "{remark}"

    what: str
    where: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class ExtendsCycle(Problem):
    """Blocks extend each other in a circle."""

    slug: ClassVar[str] = "extends-cycle"
    title: ClassVar[str] = "`{name}` extends itself"
    label: ClassVar[str] = "{chain}"

    name: str
    chain: str


@dataclass(frozen=True, kw_only=True)
class ExtendsKind(Problem):
    """A block can only extend a block of its own kind."""

    slug: ClassVar[str] = "extends-kind"
    title: ClassVar[str] = "a {kind} cannot extend `{parent}`, which is a {other}"
    label: ClassVar[str] = "expected the name of a {kind}"

    kind: str
    parent: str
    other: str
