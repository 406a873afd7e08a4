"""What names in expressions stand for: rows of the frame and of those around it, then the file.

A row binds late, against the finished block, whatever the order of lines. A `let` sees only the
names of its own file.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol, cast

from dsl.diagnostics import Problem
from dsl.evaluate import Atom, EvaluationFailed, Listed, compute
from dsl.problems.names import UnknownField, UnknownName
from dsl.problems.values import ValueCycle, WrongType
from dsl.resolve import Module, find
from dsl.schema import Auto, Count, Field, Named, Pattern, entry_name, fields_of, is_entry
from dsl.suggest import closest
from dsl.syntax import Limit
from dsl.tree import Automatic, Block, Let, Path, Value
from dsl.units import Quantity


class Broken(Enum):
    """A value that has an error, told already; whatever depends on it keeps silent."""

    BROKEN = "broken"


BROKEN: Final = Broken.BROKEN

MAXIMUM_CHAIN: Final = 8
MAXIMUM_LETS: Final = 16


@dataclass
class Trail:
    """Values being computed, each for the sake of the one before, and `let`s that are done."""

    lets: list[Let] = field(default_factory=list[Let])
    known: dict[int, Atom] = field(default_factory=dict[int, Atom])  # by identity of the Let
    depth: int = 0
    layers: int = 0  # layers made and conditions evaluated for them

    @contextmanager
    def step(self, path: Path) -> Generator[None]:
        """One value looked up inside the expression of another."""
        if self.depth == MAXIMUM_CHAIN:
            what, limit = "values depend on each other too deep", f"{MAXIMUM_CHAIN} in a row"
            instead = f"write a value in place of `{path.text}`"
            raise EvaluationFailed(Limit(span=path.span, what=what, limit=limit, instead=instead))
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    @contextmanager
    def follow(self, let: Let) -> Generator[None]:
        """Read the value of a `let`; raises EvaluationFailed where that goes in a circle."""
        if any(let is known for known in self.lets):
            raise EvaluationFailed(_let_cycle(self.lets, let))
        if len(self.lets) == MAXIMUM_LETS:
            what, limit = "`let`s name each other too deep", f"{MAXIMUM_LETS} in a row"
            span, instead = let.name.span, f"give `{let.name.text}` a value that names no `let`"
            raise EvaluationFailed(Limit(span=span, what=what, limit=limit, instead=instead))
        self.lets.append(let)
        try:
            yield
        finally:
            self.lets.pop()


class Rows(Protocol):
    """What a frame is to its expressions."""

    @property
    def fields(self) -> Mapping[str, Field]: ...
    @property
    def active(self) -> list[str]: ...
    @property
    def parent(self) -> Rows | None: ...
    @property
    def trail(self) -> Trail: ...
    def value(self, name: str) -> object: ...


def look(path: Path, rows: Rows | None, module: Module | None) -> Atom:
    """The value of a name; raises EvaluationFailed."""
    first = path.names[0]
    frame = holder(first.text, rows, module)
    if frame is not None:
        return _row(frame, path)
    if module is None:
        raise EvaluationFailed(None)  # a formula of the schema, around which nothing is written
    if first.text in module.names or first.text in module.imports:
        return let_value(path, module, Trail() if rows is None else rows.trail)
    if holder(first.text, rows, None) is not None:
        chain = f"{first.text} -> {first.text}"
        raise EvaluationFailed(ValueCycle(span=first.span, name=first.text, chain=chain))
    if not module.whole:
        raise EvaluationFailed(None)
    known = sorted({*module.names, *module.imports})
    raise EvaluationFailed(
        UnknownName(
            span=first.span,
            name=first.text,
            suggestion=closest(first.text, [*visible(rows), *known]),
            known=tuple(known),
        )
    )


def holder(name: str, rows: Rows | None, module: Module | None) -> Rows | None:
    """The nearest frame with such a row. In `d_model = d_model` the second is the one outside."""
    while rows is not None:
        if name in rows.fields and not (module is not None and rows.active[-1:] == [name]):
            return rows
        rows = rows.parent
    return None


def visible(rows: Rows | None) -> list[str]:
    """Every row an expression may name."""
    names: list[str] = []
    while rows is not None:
        names += rows.fields
        rows = rows.parent
    return names


def let_value(path: Path, module: Module, trail: Trail) -> Atom:
    """The value of a `let`, here or in an imported file."""
    problems: list[Problem] = []
    target = find(module, path, problems.append)
    if target is None:
        raise EvaluationFailed(problems[0] if problems else None)
    definition, home = target
    if isinstance(definition, Block):
        found = f"the {definition.kind.text} `{definition.name.text}`"
        raise EvaluationFailed(
            WrongType(span=path.span, field=path.text, expected="a value", found=found)
        )
    if isinstance(definition.value, Automatic):
        raise EvaluationFailed(
            WrongType(span=path.span, field=path.text, expected="a value", found="`auto`")
        )
    if id(definition) not in trail.known:
        with trail.follow(definition), trail.step(path):
            value = compute(definition.value, lambda inner: _outside(inner, home, trail))
        trail.known[id(definition)] = value
    return trail.known[id(definition)]


def _let_cycle(active: list[Let], again: Let) -> Problem:
    """Told once, from the first name by alphabet, wherever the circle is entered."""
    cycle = active[next(n for n, known in enumerate(active) if known is again) :]
    start = min(range(len(cycle)), key=lambda n: cycle[n].name.text)
    cycle = [*cycle[start:], *cycle[: start + 1]]
    first, chain = cycle[0].name, " -> ".join(one.name.text for one in cycle)
    return ValueCycle(span=first.span, name=first.text, chain=chain)


def _outside(path: Path, home: Module, trail: Trail) -> Atom:
    """A name in the value of a `let`: names of its file only."""
    first = path.names[0].text
    if first in home.names or first in home.imports:
        return let_value(path, home, trail)
    return look(path, None, home)


def _row(frame: Rows, path: Path) -> Atom:
    """A row's value as an operand; `rope.theta` reads inside."""
    with frame.trail.step(path):
        value = frame.value(path.names[0].text)
    row = frame.fields[path.names[0].text]
    for name in path.names[1:]:
        if value is BROKEN:
            break
        inner: Mapping[str, Field] = {}
        entry = row.name
        kind = cast(type, type(value))
        if is_entry(kind):
            inner, entry = fields_of(kind), entry_name(kind)
        if name.text not in inner:
            suggestion = closest(name.text, inner)
            raise EvaluationFailed(
                UnknownField(span=name.span, entry=entry, name=name.text, suggestion=suggestion)
            )
        row, value = inner[name.text], getattr(value, name.text)
    if value is BROKEN:
        raise EvaluationFailed(None)
    return _operand(value, row, path)


def _operand(value: object, row: Field, path: Path) -> Atom:
    match value:
        case None | bool() | str():
            return value
        case int() | float():
            quantity = Quantity.of(value, row.row.dimension)
            word = row.row.words[0] if len(row.row.words) == 1 else None
            return Quantity(quantity.number, quantity.dimensions, word)
        case Count(number, word):
            return Quantity(number, word=word)
        case tuple():
            items = cast(tuple[object, ...], value)
            return Listed(tuple(_operand(item, row, path) for item in items))
        case _:
            found = _kind(value)
            expected = "a value to compute with"
            raise EvaluationFailed(
                WrongType(span=path.span, field=path.text, expected=expected, found=found)
            )


def _kind(value: object) -> str:
    if isinstance(value, Auto):
        return "`auto`: known only after planning"
    if isinstance(value, Pattern | Named):
        return "a group of blocks"
    return f"the component `{entry_name(type(value))}`"


def atom(
    value: Value,
    rows: Rows | None,
    module: Module | None,
    extra: Mapping[str, Atom] | None = None,
) -> Atom:
    """An expression's value; `extra` are names that only it sees."""
    more = extra or {}
    return compute(
        value,
        lambda path: more[path.text] if path.text in more else look(path, rows, module),
    )
