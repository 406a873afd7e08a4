"""What the values of an entry need of the frame that checks it.

A value may hold an entry itself, so values and frames make each other. Values know frames by this
protocol only, so that the files do not import each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dsl.diagnostics import Problem
from dsl.schema import Field
from dsl.scope import Rows, Trail
from dsl.settings import Folded, Written
from dsl.source import Span
from dsl.spec import Origin, Room


@dataclass
class Context:
    """What all frames of one block share."""

    block: str
    kinds: Mapping[str, type]  # block kind -> entry
    report: Callable[[Problem], None]
    origins: dict[tuple[str, str], Origin]
    partial: bool = False  # the block is there to be extended: rows may be missing
    trail: Trail = field(default_factory=Trail)


class Owner(Rows, Protocol):
    """The entry that a value is part of."""

    @property
    def parent(self) -> Owner | None: ...
    @property
    def context(self) -> Context: ...
    @property
    def folded(self) -> Folded: ...
    @property
    def span(self) -> Span: ...
    @property
    def room(self) -> Room | None: ...

    def enclosing(self, name: str) -> int | None:
        """A whole number that an entry around this one has in the row called `name`."""
        ...

    def child(
        self,
        entry: type,
        clauses: Iterable[Written],
        name: str,
        span: Span,
        default: object = None,
    ) -> object:
        """The instance of an entry in a row of this one."""
        ...

    def refined(self, row: Field, refinements: tuple[Written, ...], span: Span) -> object:
        """The value of a row that has refinements and no assignment."""
        ...
