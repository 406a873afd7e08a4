"""What can be wrong with names, imports and values: one frozen dataclass an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from dsl.diagnostics import Edit, Fix, Label, Problem, Severity
from dsl.source import Span

SURE: Final = 4


def _write(choices: tuple[str, ...]) -> tuple[str, ...]:
    """One help, where there is something to type."""
    return ("write " + " or ".join(f"`{choice}`" for choice in choices),) * bool(choices)


def _rename(span: Span | None, found: str, suggestion: str | None) -> tuple[Fix, ...]:
    if span is None or suggestion is None:
        return ()
    title = f"replace `{found}` by `{suggestion}`"
    safe = len(found) >= SURE  # among short names many are close
    return (Fix(title, (Edit(span, suggestion),), safe),)


@dataclass(frozen=True, kw_only=True)
class Unknown(Problem):
    """Base of the errors about a name nobody knows."""

    label: ClassVar[str] = "{remark}"

    name: str
    suggestion: str | None = None
    known: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        return "" if self.suggestion is None else f"did you mean `{self.suggestion}`?"

    def facts(self) -> dict[str, object]:
        return {**super().facts(), "remark": self.remark}

    def helps(self) -> tuple[str, ...]:
        if self.suggestion is not None or not self.known:
            return ()
        return ("known here: " + ", ".join(f"`{name}`" for name in self.known[:12]),)

    def fixes(self) -> tuple[Fix, ...]:
        return _rename(self.span, self.name, self.suggestion)


@dataclass(frozen=True, kw_only=True)
class UnknownBlock(Unknown):
    """A file holds blocks of a few kinds: model, cluster, train, plan and sweep."""

    slug: ClassVar[str] = "unknown-block"
    title: ClassVar[str] = "there is no block of the kind `{name}`"


@dataclass(frozen=True, kw_only=True)
class UnknownField(Unknown):
    """A body sets a field that its block or component does not have.

    The fields of each block and component are listed in the language reference.
    """

    slug: ClassVar[str] = "unknown-field"
    title: ClassVar[str] = "`{entry}` has no field `{name}`"

    entry: str


@dataclass(frozen=True, kw_only=True)
class UnknownName(Unknown):
    """An expression or reference uses a name that nothing here defines.

    Names are looked up in the fields of the block they stand in, then in those of the enclosing
    blocks, then among the file's `let`s, blocks and imports.
    """

    slug: ClassVar[str] = "unknown-name"
    title: ClassVar[str] = "nothing here is called `{name}`"


@dataclass(frozen=True, kw_only=True)
class UnknownImport(Unknown):
    """A dotted name starts with an import, but the imported file has no such name."""

    slug: ClassVar[str] = "unknown-import"
    title: ClassVar[str] = "`{file}` does not define `{name}`"

    file: str


@dataclass(frozen=True, kw_only=True)
class UnknownComponent(Unknown):
    """A field takes one of a few components, and this is none of them."""

    slug: ClassVar[str] = "unknown-component"
    title: ClassVar[str] = "`{field}` cannot be `{name}`"

    field: str


@dataclass(frozen=True, kw_only=True)
class WrongWord(Unknown):
    """A field takes one of a few words, and this is none of them."""

    slug: ClassVar[str] = "wrong-word"
    title: ClassVar[str] = "`{field}` cannot be `{name}`"

    field: str


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
    label: ClassVar[str] = "write `{field} = NAME {{ ... }}` with one of {choices}"

    field: str
    choices: str


@dataclass(frozen=True, kw_only=True)
class WrongType(Problem):
    """A value is of another kind than its field takes."""

    slug: ClassVar[str] = "wrong-type"
    title: ClassVar[str] = "`{field}` is {expected}, but this is {found}"
    label: ClassVar[str] = "expected {expected}"

    field: str
    expected: str
    found: str
    instead: str | None = None

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None or self.instead is None:
            return ()
        return (Fix(f"replace by `{self.instead}`", (Edit(self.span, self.instead),), safe=False),)


@dataclass(frozen=True, kw_only=True)
class WrongUnit(Problem):
    """A literal measures another thing than its field.

    Units are checked as dimensions: a data size is not a data rate, a time is not a number. `B` is
    byte and `b` is bit; rates end in `/s` or `bps`.
    """

    slug: ClassVar[str] = "wrong-unit"
    title: ClassVar[str] = "`{field}` is {expected}, but `{text}` is {found}"
    label: ClassVar[str] = "expected {units}"

    field: str
    expected: str
    text: str
    found: str
    units: str
    replacement: str | None = None
    meaning: str = ""

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None or self.replacement is None:
            return ()
        title = f"replace by `{self.replacement}`{self.meaning}"
        return (Fix(title, (Edit(self.span, self.replacement),), safe=False),)


@dataclass(frozen=True, kw_only=True)
class BigB(Problem):
    """`300B` is 300 bytes; where a count is meant, a billion is written `G`."""

    slug: ClassVar[str] = "big-b"
    title: ClassVar[str] = "`{field}` is a count, but `{text}` is a number of bytes"
    label: ClassVar[str] = "a billion is written `G`"

    field: str
    text: str

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None or not self.text.endswith("B"):
            return ()
        number = self.text[:-1]  # `16GB` has its suffix already
        better = number if number[-1:].isalpha() else number + "G"
        return (Fix(f"replace by `{better}`", (Edit(self.span, better),), safe=False),)


@dataclass(frozen=True, kw_only=True)
class WrongCountingWord(Problem):
    """A number counts another thing than its field, or does not say which of two it counts."""

    slug: ClassVar[str] = "wrong-counting-word"
    title: ClassVar[str] = "`{field}` counts {words}{found}"
    label: ClassVar[str] = "{remark}"

    field: str
    words: str
    found: str
    remark: str


@dataclass(frozen=True, kw_only=True)
class NotWhole(Problem):
    """A field counts whole things, and its value is not a whole number."""

    slug: ClassVar[str] = "not-whole"
    title: ClassVar[str] = "`{field}` must be a whole number"
    label: ClassVar[str] = "{arithmetic}"

    field: str
    arithmetic: str
    choices: tuple[str, ...] = ()
    others: tuple[Label, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return self.others

    def helps(self) -> tuple[str, ...]:
        return _write(self.choices)


@dataclass(frozen=True, kw_only=True)
class OutOfRange(Problem):
    """A number is smaller or larger than its field allows, or beyond what a number can hold."""

    slug: ClassVar[str] = "out-of-range"
    title: ClassVar[str] = "`{field}` must be {bound}, but this is {found}"
    label: ClassVar[str] = "{arithmetic}"

    field: str
    bound: str
    found: str
    arithmetic: str = ""
    choices: tuple[str, ...] = ()
    others: tuple[Label, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return self.others

    def helps(self) -> tuple[str, ...]:
        return _write(self.choices)


@dataclass(frozen=True, kw_only=True)
class WrongLength(Problem):
    """A list has more or fewer items than its field takes."""

    slug: ClassVar[str] = "wrong-length"
    title: ClassVar[str] = "`{field}` takes {expected:,} values, and this list has {found:,}"
    label: ClassVar[str] = "{doc}"

    field: str
    expected: int
    found: int
    doc: str
    choices: tuple[str, ...] = ()

    def helps(self) -> tuple[str, ...]:
        return _write(self.choices)


@dataclass(frozen=True, kw_only=True)
class NotAuto(Problem):
    """`auto` leaves a value to the planner, and this field is not the planner's to choose."""

    slug: ClassVar[str] = "not-auto"
    title: ClassVar[str] = "`{field}` cannot be `auto`"
    label: ClassVar[str] = "expected {expected}"

    field: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class NotBuilt(Problem):
    """The language has this, and the compiler does not build it yet."""

    slug: ClassVar[str] = "not-built"
    title: ClassVar[str] = "{what} is not built yet"
    label: ClassVar[str] = "{remark}"

    what: str
    remark: str = ""


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
    instead: str

    def secondary(self) -> tuple[Label, ...]:
        return (Label(self.first, "first here"),)

    def helps(self) -> tuple[str, ...]:
        return (self.instead,)


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
class NotACondition(Problem):
    """`where` takes a condition on the layer index `i` (from 0), such as `i % 4 == 3`."""

    slug: ClassVar[str] = "not-a-condition"
    title: ClassVar[str] = "`where` needs true or false, but this is {found}"
    label: ClassVar[str] = "expected a condition, such as `i % 4 == 3`"

    found: str


@dataclass(frozen=True, kw_only=True)
class ValueCycle(Problem):
    """Values are defined by each other, so that none has a value."""

    slug: ClassVar[str] = "value-cycle"
    title: ClassVar[str] = "`{name}` depends on itself"
    label: ClassVar[str] = "{chain}"

    name: str
    chain: str


@dataclass(frozen=True, kw_only=True)
class FileMissing(Problem):
    """The file to read, as the command names it, is not there, or cannot be read.

    Paths are relative to the current directory; `std/...` names a file of the compiler's own.
    """

    slug: ClassVar[str] = "file-missing"
    title: ClassVar[str] = "cannot read `{file}`: {reason}"

    file: str
    reason: str
    suggestion: str | None = None

    def helps(self) -> tuple[str, ...]:
        return () if self.suggestion is None else (f"did you mean `{self.suggestion}`?",)


@dataclass(frozen=True, kw_only=True)
class ImportMissing(Unknown):
    """An imported file is not there, or cannot be read.

    `std/...` files come with the compiler; all others are looked up beside the importing file.
    """

    slug: ClassVar[str] = "import-missing"
    title: ClassVar[str] = "cannot read `{file}`: {reason}"

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ImportOutside(Problem):
    """An import leads out of the project's folder.

    Files come from the folder of the spec and below, and from `std/`; nowhere else, so that a
    spec means the same on every machine.
    """

    slug: ClassVar[str] = "import-outside"
    title: ClassVar[str] = "`{file}` is outside the project"
    label: ClassVar[str] = "imports cannot leave the project's folder"

    file: str


@dataclass(frozen=True, kw_only=True)
class ImportCycle(Problem):
    """Files import each other in a circle."""

    slug: ClassVar[str] = "import-cycle"
    title: ClassVar[str] = "this import leads back to its own file"
    label: ClassVar[str] = "{chain}"

    chain: str

    def helps(self) -> tuple[str, ...]:
        return ("remove this import; what several files need, a file that imports none can hold",)


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
class DecimalSuffix(Problem):
    """`k` is 1000; lengths and widths are usually powers of two, written with `Ki`.

    If the decimal number is meant, write it out (`8_000`): that silences the warning.
    """

    slug: ClassVar[str] = "decimal-suffix"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "`{text}` is {decimal}, not {binary}"
    label: ClassVar[str] = "`k` is 1000, `Ki` is 1024"

    text: str
    better: str
    decimal: str
    binary: str

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None:
            return ()
        return (Fix(f"replace by `{self.better}`", (Edit(self.span, self.better),), safe=False),)
