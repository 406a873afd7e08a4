"""What the front end returns: checked values, and beside them where each came from.

Values are instances of the schema's entries, so `plan.model.d_model` is an int. Blocks that name
other blocks hold the checked value of those. Origins are a table beside the values, by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar, cast

from dsl.source import Span
from dsl.tree import Expression

T = TypeVar("T")


@dataclass(frozen=True)
class Room:
    """Where one more line fits into a body: the empty span `at`, with `lead` before the line."""

    at: Span
    lead: str


class OriginKind(Enum):
    WRITTEN = "written"  # in the block itself
    DEFAULT = "default"  # the schema's
    INHERITED = "inherited"  # in a block it extends, names or imports
    DERIVED = "derived"  # computed by the schema's formula
    OVERRIDDEN = "overridden"  # given outside the text: `--set tp=4`


@dataclass(frozen=True)
class Origin:
    """Where a value came from. `text` is the expression as written, or the schema's formula.

    `room` is set for a block itself: where another line of its body can be inserted.
    """

    kind: OriginKind
    span: Span | None = None
    text: str | None = None
    room: Room | None = None


@dataclass(frozen=True)
class Origins:
    """(block name, path) -> Origin. The path of a block itself is `""`.

    Paths are rooted at the block: `tp`, `train.seq_len`, `model.layer.attention.heads`. For a
    layer pattern the origin is that of the clause which decides for the first kind of layer.
    """

    table: Mapping[tuple[str, str], Origin] = field(default_factory=dict[tuple[str, str], Origin])

    def get(self, block: str, path: str) -> Origin | None:
        return self.table.get((block, path))

    def span(self, block: str, path: str) -> Span | None:
        """The line to point at: of the path, or of the nearest enclosing path that has one."""
        while True:
            origin = self.table.get((block, path))
            if origin is not None and origin.span is not None:
                return origin.span
            if not path:
                return None
            path = path.rpartition(".")[0]


@dataclass(frozen=True)
class Assert:
    """`assert EXPRESSION` of a plan: `let` names are replaced by what they stand for, so the
    paths left are rooted at the plan (`memory.peak`, `tp`). Evaluate with `dsl.evaluate`."""

    expression: Expression
    span: Span
    text: str


@dataclass(frozen=True)
class Objective:
    """`minimize step_time` of a plan."""

    minimize: bool
    expression: Expression
    span: Span
    text: str


@dataclass(frozen=True)
class Spec:
    """A file without errors. `blocks["plan"]["main"]` is a PlanSpec; `asserts` and `objectives`
    are keyed by the name of the plan."""

    blocks: Mapping[str, Mapping[str, object]]
    asserts: Mapping[str, tuple[Assert, ...]]
    objectives: Mapping[str, Objective]
    origins: Origins

    def all(self, entry: type[T]) -> Mapping[str, T]:
        """The blocks of one kind, by name, in the order written: `spec.all(PlanSpec)`."""
        kind = cast(str, vars(entry)["entry_name"])
        return cast(Mapping[str, T], self.blocks.get(kind, {}))
