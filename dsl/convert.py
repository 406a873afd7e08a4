"""Evaluated values to the types of rows: dimensions, counting words, whole numbers, bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from dsl.diagnostics import Edit, Label, Problem, Suggestion
from dsl.evaluate import Atom, describe
from dsl.problems.values import (
    BigB,
    DecimalSuffix,
    NotWhole,
    OutOfRange,
    WrongCountingWord,
    WrongType,
    WrongUnit,
)
from dsl.schema import Count, Field, Shape, entry_name
from dsl.show import expression_text
from dsl.source import Span
from dsl.spec import Room
from dsl.tree import Number, Path, Text, Value
from dsl.units import DIMENSIONS, NONE, Dimensions, Quantity, expected_units, name_of, show

BYTES: Final = Dimensions(bytes=1)
RATE: Final = Dimensions(bytes=1, seconds=-1)
CARDS: Final = frozenset(["10", "25", "40", "50", "100", "200", "400", "800", "1600"])
"""Rates in Gb/s that network cards are named by."""
LARGEST_INT: Final = 2**63 - 1


@dataclass(frozen=True)
class Given:
    """A value on its way into a field: what was written, where, and how it was computed."""

    field: Field
    value: Value | None  # None: the schema's own formula
    span: Span
    arithmetic: str  # `d_model / heads = 32 / 5 = 6.4`; the value alone for a literal
    others: tuple[Label, ...] = ()  # where the numbers in it come from
    room: Room | None = None  # where the field could be written, if it is not
    total: int | None = None  # what a percentage may be meant of: the steps of the run


def expected(field: Field, shape: Shape) -> str:
    """What a field takes, in words."""
    parts: list[str] = []
    words = field.row.words
    dimension = field.row.dimension
    if shape.count or (words and int in shape.scalars):
        parts.append("a number of " + " or ".join(words))
    elif dimension is not None and DIMENSIONS[dimension] != NONE:
        parts.append(name_of(DIMENSIONS[dimension]))
    elif int in shape.scalars:
        parts.append("a whole number")
    elif float in shape.scalars:
        parts.append("a number")
    if bool in shape.scalars:
        parts.append("true or false")
    if str in shape.scalars:
        parts.append("a text")
    parts += [f"`{word}`" for word in shape.words]
    parts += [f"`{entry_name(entry)}`" for entry in shape.entries]
    if shape.items is not None:
        parts.append("a list")
    if shape.pattern is not None:
        parts.append(f"a body: `{field.name} {{ ... }}`")
    if shape.named is not None:
        parts.append(f"a body with a name: `{field.name} NAME {{ ... }}`")
    if shape.auto:
        parts.append("`auto`")
    if shape.none and "none" not in shape.words:
        parts.append("`none`")
    if len(parts) < 2 or parts == ["true or false"]:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " or " + parts[-1]


def wrong_type(given: Given, shape: Shape, found: str) -> Problem:
    instead: str | None = None
    if shape.items is not None and isinstance(given.value, Number | Path | Text):
        text = expression_text(given.value)
        open_ended = isinstance(given.value, Path) and str in shape.items.scalars
        instead = dict(given.field.row.instead).get(text) if open_ended else f"[{text}]"
    return WrongType(
        span=given.span,
        field=given.field.name,
        expected=expected(given.field, shape),
        found=found,
        instead=instead,
    )


def coerce(atom: Atom, shape: Shape, given: Given) -> object | Problem:
    """The field's value for an evaluated expression."""
    if isinstance(atom, Quantity):
        if shape.count or int in shape.scalars or float in shape.scalars:
            return _number(atom, shape, given)
    elif atom is None:
        if shape.none:
            return None
    elif isinstance(atom, bool) and bool in shape.scalars:
        return atom
    elif isinstance(atom, str) and str in shape.scalars:
        return _text(atom, given)
    return wrong_type(given, shape, describe(atom))


def _text(text: str, given: Given) -> str | Problem:
    form = given.field.row.form
    if form is None:
        return text
    nearest = form.nearest(text)
    if text and text == nearest:
        return text
    escaped = nearest.replace("\\", "\\\\").replace('"', '\\"')
    return WrongType(
        span=given.span,
        field=given.field.name,
        expected=form.doc,
        found="another text",
        instead=f'"{escaped}"' if nearest else None,
    )


def _number(quantity: Quantity, shape: Shape, given: Given) -> object | Problem:
    row = given.field.row
    wanted = NONE if row.dimension is None else DIMENSIONS[row.dimension]
    if quantity.dimensions != wanted:
        return _wrong_unit(quantity, wanted, given)
    word = _word(quantity, shape, given)
    if isinstance(word, Problem):
        return word
    number = quantity.number
    bound = row.bound(number)
    if bound is not None:
        limit = f"{bound[0]} {show(Quantity(bound[1], wanted))}"
        return _out_of_range(given, limit, show(quantity), _within(given, number))
    if not shape.count and int not in shape.scalars:
        made = float(number)
        return made if math.isfinite(made) else _out_of_range(given, "finite", "infinite")
    if not float(number).is_integer() and isinstance(number, float):
        near = (math.floor(number), math.ceil(number))
        if row.words == ("steps",) and 0 < number < 1:  # a share of the run is meant
            near = () if given.total is None else (max(1, round(number * given.total)),)
        return NotWhole(
            span=given.span,
            field=given.field.name,
            arithmetic=given.arithmetic,
            choices=tuple(
                _instead(given, _number_text(given, n)) for n in near if row.bound(n) is None
            ),
            others=given.others,
        )
    whole = int(number)
    if abs(whole) > LARGEST_INT:
        return _out_of_range(given, "below 2**63", show(quantity))
    return Count(whole, word) if shape.count and word is not None else whole


def _within(given: Given, number: float) -> tuple[Suggestion, ...]:
    """What the field allows: the word that 0 or -1 elsewhere stands for, and the number that is
    near: its smallest one, or its default."""
    shape, near = given.field.shape, _allowed(given)
    listed = shape.items is not None
    says_none = shape.none and given.field.default is not None  # else it says nothing
    words = [] if listed else ["auto"] * shape.auto + ["none"] * says_none
    texts = words if number <= 0 or not near else []
    texts += [_number_text(given, one) for one in near]
    return tuple(_instead(given, text) for text in texts)


def _allowed(given: Given) -> list[int | float]:
    row, default = given.field.row, given.field.default
    if given.field.shape.items is not None and isinstance(default, tuple):
        items = cast(tuple[object, ...], default)
        return [one for one in dict.fromkeys(items) if isinstance(one, int | float)]
    # Where a number may also be too large, the smallest would be far from it.
    between = row.below is not None and isinstance(default, int | float)
    if row.minimum is not None and not between and row.bound(row.minimum) is None:
        return [row.minimum]
    return [default] if isinstance(default, int | float) else []


def assignment(field: Field, value: str, at: Span) -> Suggestion:
    """`field = value`, in the place of the value at `at`."""
    return Suggestion(f"{field.name} = {value}", (Edit(at, value),))


def _instead(given: Given, text: str) -> Suggestion:
    """`layers = 3`, in the place of what was written, or as a new line of the body; of a list's
    item the number alone."""
    listed = given.field.shape.items is not None
    if given.value is not None and listed:
        return Suggestion(text, (Edit(given.value.span, text),))
    if given.value is not None:
        return assignment(given.field, text, given.value.span)
    line = f"{given.field.name} = {text}"
    if given.room is None:
        return Suggestion(line)
    return Suggestion(line, (Edit(given.room.at, given.room.lead + line),))


def _number_text(given: Given, number: float) -> str:
    """A number with the unit or the counting word that its field wants."""
    whole = abs(number) <= LARGEST_INT and float(number).is_integer()
    text = f"{int(number)}" if whole else f"{number:g}"
    if given.field.row.dimension is not None:
        dimensions = DIMENSIONS[given.field.row.dimension]
        text = show(Quantity(number, dimensions)).replace(" ", "")  # 60s
    if given.field.shape.count:
        word = given.value.word if isinstance(given.value, Number) else None
        text += f" {given.field.row.words[-1] if word is None else word.text}"
    return text


def _out_of_range(
    given: Given, bound: str, found: str, choices: tuple[Suggestion, ...] = ()
) -> Problem:
    arithmetic = "" if given.arithmetic == found else given.arithmetic
    return OutOfRange(
        span=given.span,
        field=given.field.name,
        bound=bound,
        found=found,
        arithmetic=arithmetic,
        choices=choices,
        others=given.others,
    )


def _word(quantity: Quantity, shape: Shape, given: Given) -> str | Problem | None:
    """The counting word the value ends up with."""
    words, word = given.field.row.words, quantity.word
    if word in words:
        return word
    if word is None and (len(words) < 2 or not shape.count):
        return words[0] if words else None
    text = f"{show(Quantity(quantity.number))}"
    if word is None:
        found, remark = "", "which of them?"
    elif words:
        found, remark = f", not {word}", f"expected {' or '.join(words)}"
    else:
        found, remark = f", not {word}", "a number without a word"
    typed = given.value.text if isinstance(given.value, Number) else text
    texts: list[str] = []
    if word is None:
        texts = [f"{typed} {allowed}" for allowed in words]
    elif not words:  # where another thing is counted, the number would be another too
        texts = [typed]
    counted = " or ".join(words) or "nothing by name"
    return WrongCountingWord(
        span=given.span,
        field=given.field.name,
        words=counted,
        found=found,
        remark=remark,
        choices=tuple(_instead(given, one) for one in texts),
    )


def _wrong_unit(quantity: Quantity, wanted: Dimensions, given: Given) -> Problem:
    number = given.value if isinstance(given.value, Number) else None
    text = show(quantity) if number is None else number.text
    if wanted == NONE and quantity.dimensions == BYTES and text.endswith("B"):
        return BigB(span=given.span, field=given.field.name, text=text)
    replacement, meaning = None, ""
    if number is not None and wanted == RATE and quantity.dimensions == BYTES:
        if text[-2:] in ("GB", "MB", "TB"):
            replacement = text[:-1] + "bps"
            rate = Quantity(quantity.number / 8, RATE)
            card = f", the rate of a {text[:-1]} NIC" if text[:-2] in CARDS else ""
            meaning = f"  ({show(rate)}{card})"
        else:
            replacement = text + "/s"
    elif number is not None and quantity.dimensions == NONE and wanted == BYTES:
        replacement = text + "B" if text[-1:] in "kMGTPi" else None
    return WrongUnit(
        span=given.span,
        field=given.field.name,
        expected=name_of(wanted),
        text=text,
        found=name_of(quantity.dimensions),
        units=expected_units(wanted),
        replacement=replacement,
        meaning=meaning,
    )


def warnings(value: Value, field: Field) -> Sequence[Problem]:
    """`seq_len = 8k`: a power of two with a decimal suffix, where powers of two are usual."""
    row = field.row
    if not isinstance(value, Number) or row.dimension is not None or row.words == ("steps",):
        return ()
    if not (field.shape.count or int in field.shape.scalars):
        return ()
    digits = value.text[:-1]
    if not value.text.endswith("k") or not digits.isdecimal() or int(digits).bit_count() != 1:
        return ()
    number = int(digits)
    return (
        DecimalSuffix(
            span=Span(value.span.path, value.span.start, value.span.start + len(value.text)),
            text=value.text,
            better=f"{digits}Ki",
            decimal=f"{number * 1000:,}",
            binary=f"{number * 1024:,}",
        ),
    )
