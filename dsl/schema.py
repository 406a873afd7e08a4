"""The schema mechanism: a schema entry is a frozen dataclass whose fields are the rows.

`@entry(name)` names the block, component or node a dataclass describes; `row(...)` declares one
field: its documentation, effect, default, dimension and whether `auto` may stand there. The
annotation is the type. Checker, did-you-mean, canonical form and reference docs read nothing else.
To add a field, add one `row`; to add a component, add one `@entry` to the union that accepts it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar, dataclass_transform, overload

T = TypeVar("T")


class Effect(Enum):
    """What changing a field changes; `diff` and resume read it."""

    MEANING = "meaning"  # what is learnt
    MAPPING = "mapping"  # how it is spread
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
class Row:
    """What `row` records beside the annotation and the default."""

    doc: str
    effect: Effect
    dimension: Dimension | None = None
    words: tuple[str, ...] = ()
    derived: str | None = None
    minimum: float | None = None
    positional: bool = False
    pending: bool = False


@overload
def row(
    doc: str,
    *,
    effect: Effect,
    dimension: Dimension | None = ...,
    words: tuple[str, ...] = ...,
    derived: str | None = ...,
    minimum: float | None = ...,
    positional: bool = ...,
    pending: bool = ...,
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
    positional: bool = ...,
    pending: bool = ...,
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
    positional: bool = False,
    pending: bool = False,
) -> object:
    """Declare a field.

    default     value when left out; without default or `derived` the field is required
    dimension   the literal must carry this unit; stored in the dimension's base unit
    words       counting words allowed; the field's type is then Count, or int for a single word
    derived     an expression of the language, evaluated late in the block's scope (own fields,
                then the enclosing blocks'), when the field is left out; where it is written,
                the written value wins
    minimum     smallest legal number
    positional  may be written without its name: `sliding(4Ki)`
    pending     known to the language, not yet built: any value but the default is an error
    """
    metadata = {"row": Row(doc, effect, dimension, words, derived, minimum, positional, pending)}
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(row,))
def entry(name: str) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the schema entry written `name` in a spec."""

    def wrap(cls: type[T]) -> type[T]:
        made = dataclass(frozen=True, kw_only=True)(cls)
        made.entry_name = name
        return made

    return wrap
