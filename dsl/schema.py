"""The schema mechanism: a schema entry is a frozen dataclass whose fields are the rows.

`@entry(name)` names the block, component or node a dataclass describes; `row(...)` declares one
field: its documentation, effect, default, dimension and whether `auto` may stand there. The
annotation is the type. Checker, did-you-mean, canonical form and reference docs read nothing else.
To add a field, add one `row`; to add a component, add one `@entry` to the union that accepts it.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final, Generic, TypeVar, cast, dataclass_transform, overload

T = TypeVar("T")


class Effect(Enum):
    """What changing a field changes; `diff` and resume read it."""

    MEANING = "meaning"  # what is learnt
    MAPPING = "mapping"  # how it is parallelised
    OPERATION = "operation"  # how it is run


class Auto(Enum):
    """The planner chooses. A one-member enum, so that a type checker sees `int | Auto` apart."""

    AUTO = "auto"


AUTO: Final = Auto.AUTO


@dataclass(frozen=True)
class Count:
    """A number with a counting word: `16Mi tokens` is Count(16777216, "tokens")."""

    value: int
    word: str


@dataclass(frozen=True)
class Pattern(Generic[T]):
    """What a layer pattern checks to: the distinct bodies, and which one each layer uses.

    `kinds[indices[i]]` is the body of layer i. Kinds are numbered by first use.
    """

    kinds: tuple[T, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Named(Generic[T]):
    """Labelled blocks in the order written: `phase start { ... }`, `phase main { ... }`."""

    items: tuple[tuple[str, T], ...] = ()


class Dimension(Enum):
    """Physical dimensions; values in a Spec are plain floats in the unit named here."""

    BYTES = "B"
    BYTES_PER_SECOND = "B/s"
    FLOPS = "FLOP/s"
    WATTS = "W"
    SECONDS = "s"
    USD_PER_SECOND = "USD/s"
    FRACTION = "1"


@dataclass(frozen=True)
class Form:
    """What a text may look like: 1 to `longest` characters out of `allowed`, a character class, and
    no `-` first, which commands take for an option. `doc` says so in words."""

    doc: str
    allowed: str
    longest: int

    def nearest(self, text: str) -> str:
        """The text made to fit; one that fits is its own nearest, and not empty."""
        return re.sub(f"[^{self.allowed}]+", "-", text).lstrip("-")[: self.longest]


@dataclass(frozen=True)
class Row:
    """What `row` records beside the annotation and the default."""

    doc: str
    effect: Effect
    dimension: Dimension | None = None
    words: tuple[str, ...] = ()
    derived: str | None = None
    minimum: float | None = None
    above: float | None = None
    below: float | None = None
    length: int | None = None
    distinct: bool = False
    positional: bool = False
    pending: bool = False
    form: Form | None = None
    instead: tuple[tuple[str, str], ...] = ()  # one word -> the list it may stand for

    def bound(self, number: float) -> tuple[str, float] | None:
        """What the number must be and is not: (`at least`, 1)."""
        if self.minimum is not None and number < self.minimum:
            return "at least", self.minimum
        if self.above is not None and number <= self.above:
            return "above", self.above
        if self.below is not None and number >= self.below:
            return "below", self.below
        return None


@overload
def row(
    doc: str,
    *,
    effect: Effect,
    dimension: Dimension | None = ...,
    words: tuple[str, ...] = ...,
    derived: str | None = ...,
    minimum: float | None = ...,
    above: float | None = ...,
    below: float | None = ...,
    length: int | None = ...,
    distinct: bool = ...,
    positional: bool = ...,
    pending: bool = ...,
    form: Form | None = ...,
    instead: tuple[tuple[str, str], ...] = ...,
) -> T: ...  # pyright: ignore[reportInvalidTypeVarUse]
@overload
def row(
    doc: str,
    *,
    effect: Effect,
    default: T,
    dimension: Dimension | None = ...,
    words: tuple[str, ...] = ...,
    derived: str | None = ...,
    minimum: float | None = ...,
    above: float | None = ...,
    below: float | None = ...,
    length: int | None = ...,
    distinct: bool = ...,
    positional: bool = ...,
    pending: bool = ...,
    form: Form | None = ...,
    instead: tuple[tuple[str, str], ...] = ...,
) -> T: ...
def row(
    doc: str,
    *,
    effect: Effect,
    default: object = dataclasses.MISSING,
    dimension: Dimension | None = None,
    words: tuple[str, ...] = (),
    derived: str | None = None,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    length: int | None = None,
    distinct: bool = False,
    positional: bool = False,
    pending: bool = False,
    form: Form | None = None,
    instead: tuple[tuple[str, str], ...] = (),
) -> object:
    """Declare a field.

    default     value when left out; without default or `derived` the field is required
    dimension   the literal must carry this unit; stored in the dimension's base unit
    words       counting words allowed; the field's type is then Count, or int for a single word
    derived     an expression of the language, evaluated late in the block's scope (own fields,
                then the enclosing blocks'), when the field is left out; where it is written,
                the written value wins
    minimum     smallest legal number; of a list, of each in it
    above       every legal number is greater
    below       every legal number is smaller
    length      how many items the list must have
    distinct    a list names each at most once
    positional  may be written without its name: `sliding(4Ki)`
    pending     known to the language, not yet built: any value but the default is an error
    form        what a text must look like, where not every text will do
    """
    made = Row(
        doc=doc,
        effect=effect,
        dimension=dimension,
        words=words,
        derived=derived,
        minimum=minimum,
        above=above,
        below=below,
        length=length,
        distinct=distinct,
        positional=positional,
        pending=pending,
        form=form,
        instead=instead,
    )
    return dataclasses.field(default=default, metadata={"row": made}, kw_only=True)


ENTRY_NAME: Final = "entry_name"


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(row,))
def entry(name: str) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the schema entry written `name` in a spec."""

    def wrap(cls: type[T]) -> type[T]:
        # Without one, dataclass would work the signature out for it: half a millisecond each.
        cls.__doc__ = cls.__doc__ or f"Rows of `{name}`."
        made = dataclass(frozen=True, kw_only=True)(cls)
        setattr(made, ENTRY_NAME, name)
        return made

    return wrap


def is_entry(cls: object) -> bool:
    return isinstance(cls, type) and ENTRY_NAME in vars(cls)


def entry_name(cls: type) -> str:
    """What the entry is called in a spec."""
    return cast(str, vars(cls)[ENTRY_NAME])


class NoDefault(Enum):
    """A row without a default, apart from every value a default may have."""

    NO_DEFAULT = "no default"


@dataclass(frozen=True)
class Shape:
    """What a row's annotation allows, read once from its type."""

    scalars: frozenset[type] = frozenset()  # of int, float, bool, str
    words: tuple[str, ...] = ()  # members of a Literal
    entries: tuple[type, ...] = ()
    none: bool = False
    auto: bool = False
    count: bool = False
    items: Shape | None = None  # of a tuple
    pattern: type | None = None  # the entry a Pattern is made of
    named: type | None = None  # the entry that labelled blocks are


@dataclass(frozen=True)
class Field:
    """A row with its name, what its type allows and its default."""

    name: str
    row: Row
    shape: Shape
    default: object


@cache
def fields_of(cls: type) -> Mapping[str, Field]:
    """The rows of an entry by name, inherited ones included, in the order declared."""
    hints = typing.get_type_hints(cls)
    made: dict[str, Field] = {}
    for field in dataclasses.fields(cls):
        default: object = field.default
        if default is dataclasses.MISSING:
            default = NoDefault.NO_DEFAULT
        row = cast(Row, field.metadata["row"])
        made[field.name] = Field(field.name, row, shape_of(hints[field.name]), default)
    return made


def shape_of(annotation: object) -> Shape:
    """The shape of one annotation; TypeError for a type that a row cannot have."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        return _union([shape_of(argument) for argument in arguments])
    if origin is typing.Literal:
        return Shape(words=arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Shape(items=shape_of(arguments[0]))
    if origin is Pattern:
        return Shape(pattern=arguments[0])
    if origin is Named:
        return Shape(named=arguments[0])
    if annotation is type(None):
        return Shape(none=True)
    if annotation is Auto:
        return Shape(auto=True)
    if annotation is Count:
        return Shape(count=True)
    if annotation is int or annotation is float or annotation is bool or annotation is str:
        return Shape(scalars=frozenset({cast(type, annotation)}))
    if isinstance(annotation, type) and is_entry(annotation):
        return Shape(entries=(annotation,))
    raise TypeError(f"a row cannot have the type {annotation}")


def _union(shapes: list[Shape]) -> Shape:
    return Shape(
        scalars=frozenset[type]().union(*(s.scalars for s in shapes)),
        words=tuple(word for s in shapes for word in s.words),
        entries=tuple(entry for s in shapes for entry in s.entries),
        none=any(s.none for s in shapes),
        auto=any(s.auto for s in shapes),
        count=any(s.count for s in shapes),
        items=next((s.items for s in shapes if s.items is not None), None),
        pattern=next((s.pattern for s in shapes if s.pattern is not None), None),
        named=next((s.named for s in shapes if s.named is not None), None),
    )


@cache
def entries_under(cls: type) -> frozenset[type]:
    """An entry and every entry its rows can hold."""
    found: set[type] = set()
    waiting = [cls]
    while waiting:
        entry_class = waiting.pop()
        if entry_class in found:
            continue
        found.add(entry_class)
        for field in fields_of(entry_class).values():
            shape: Shape | None = field.shape
            while shape is not None:
                waiting += [*shape.entries]
                waiting += [one for one in (shape.pattern, shape.named) if one is not None]
                shape = shape.items
    return frozenset(found)
