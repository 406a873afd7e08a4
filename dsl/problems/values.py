"""Values that are not what their field takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Edit, Fix, Label, Problem, Severity


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


@dataclass(frozen=True, kw_only=True)
class NotWhole(Problem):
    """A field counts whole things, and its value is not a whole number."""

    slug: ClassVar[str] = "not-whole"
    title: ClassVar[str] = "`{field}` must be a whole number"
    label: ClassVar[str] = "{arithmetic}"

    field: str
    arithmetic: str
    others: tuple[Label, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return self.others


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
    others: tuple[Label, ...] = ()

    def secondary(self) -> tuple[Label, ...]:
        return self.others


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
