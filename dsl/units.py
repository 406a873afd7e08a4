"""Units: one table of them, literals to quantities, and arithmetic that keeps dimensions right.

A quantity is a number in base units (byte, second, FLOP, watt, dollar) with the exponents of those
units, and perhaps a counting word. Whole results stay ints: `2.87T` is 2_870_000_000_000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from dsl.diagnostics import Edit, Fix, Problem
from dsl.schema import Dimension
from dsl.suggest import closest
from dsl.syntax import MAXIMUM_DIGITS, Limit
from dsl.tree import Number

MAXIMUM_EXPONENT: Final = 300
MAXIMUM_NUMBER: Final = 10**60


class Dimensions(NamedTuple):
    """Exponents of the base units."""

    bytes: int = 0
    seconds: int = 0
    flops: int = 0
    watts: int = 0
    dollars: int = 0

    def times(self, other: Dimensions, power: int = 1) -> Dimensions:
        return Dimensions(*(a + power * b for a, b in zip(self, other, strict=True)))

    def to_the(self, power: int) -> Dimensions:
        return Dimensions(*(power * exponent for exponent in self))


NONE: Final = Dimensions()

DIMENSIONS: Final[Mapping[Dimension, Dimensions]] = {
    Dimension.BYTES: Dimensions(bytes=1),
    Dimension.BYTES_PER_SECOND: Dimensions(bytes=1, seconds=-1),
    Dimension.FLOPS: Dimensions(flops=1, seconds=-1),
    Dimension.WATTS: Dimensions(watts=1),
    Dimension.SECONDS: Dimensions(seconds=1),
    Dimension.USD_PER_SECOND: Dimensions(dollars=1, seconds=-1),
    Dimension.FRACTION: NONE,
}

NAMES: Final[Mapping[Dimensions, tuple[str, str]]] = {
    Dimensions(bytes=1): ("a data size", "B"),
    Dimensions(bytes=1, seconds=-1): ("a data rate", "bit/s or B/s"),
    Dimensions(flops=1): ("an amount of compute", "FLOP"),
    Dimensions(flops=1, seconds=-1): ("a compute rate", "FLOP/s"),
    Dimensions(watts=1): ("a power", "W"),
    Dimensions(seconds=1): ("a time", "s, min, h or d"),
    Dimensions(dollars=1): ("an amount of money", "USD"),
    Dimensions(dollars=1, seconds=-1): ("a price by time", "USD/h"),
    NONE: ("a plain number", "a number without a unit"),
}
"""What a dimension is called, and what a literal of it may be written in."""


@dataclass(frozen=True)
class Quantity:
    """A number in base units, its dimensions and its counting word."""

    number: int | float
    dimensions: Dimensions = NONE
    word: str | None = None

    @staticmethod
    def of(number: float, dimension: Dimension | None = None) -> Quantity:
        return Quantity(number, NONE if dimension is None else DIMENSIONS[dimension])


class Unit(NamedTuple):
    """`numerator / denominator` base units of `dimensions`; which prefixes it takes."""

    numerator: int
    denominator: int
    dimensions: Dimensions
    prefixes: str = ""


_SIZE, _RATE = Dimensions(bytes=1), Dimensions(bytes=1, seconds=-1)
_COMPUTE = Dimensions(flops=1, seconds=-1)
_TIME = Dimensions(seconds=1)
_COST = Dimensions(dollars=1, seconds=-1)

UNITS: Final[Mapping[str, Unit]] = {
    "": Unit(1, 1, NONE, "decimal binary"),
    "%": Unit(1, 100, NONE),
    "B": Unit(1, 1, _SIZE, "decimal binary"),
    "b": Unit(1, 8, _SIZE, "decimal binary"),
    "bit": Unit(1, 8, _SIZE, "decimal binary"),
    "B/s": Unit(1, 1, _RATE, "decimal binary"),
    "b/s": Unit(1, 8, _RATE, "decimal binary"),
    "bit/s": Unit(1, 8, _RATE, "decimal binary"),
    "bps": Unit(1, 8, _RATE, "decimal"),
    "FLOP": Unit(1, 1, Dimensions(flops=1), "decimal"),
    "FLOPS": Unit(1, 1, _COMPUTE, "decimal"),
    "FLOP/s": Unit(1, 1, _COMPUTE, "decimal"),
    "W": Unit(1, 1, Dimensions(watts=1), "decimal"),
    "ns": Unit(1, 10**9, _TIME),
    "us": Unit(1, 10**6, _TIME),
    "ms": Unit(1, 10**3, _TIME),
    "s": Unit(1, 1, _TIME),
    "min": Unit(60, 1, _TIME),
    "h": Unit(3600, 1, _TIME),
    "d": Unit(86400, 1, _TIME),
    "USD": Unit(1, 1, Dimensions(dollars=1)),
    "USD/s": Unit(1, 1, _COST),
    "USD/h": Unit(1, 3600, _COST),
    "USD/d": Unit(1, 86400, _COST),
}

PREFIXES: Final[Mapping[str, Mapping[str, int]]] = {
    "decimal": {prefix: 1000 ** (n + 1) for n, prefix in enumerate("kMGTPE")},
    "binary": {prefix + "i": 1024 ** (n + 1) for n, prefix in enumerate("KMGTPE")},
}


def _spelled() -> dict[str, Unit]:
    """Every spelling of a unit, with and without prefix."""
    table = dict(UNITS)
    for name, unit in UNITS.items():
        for kind in unit.prefixes.split():
            for prefix, factor in PREFIXES[kind].items():
                table[prefix + name] = unit._replace(numerator=unit.numerator * factor)
    return table


SPELLED: Final = _spelled()

_LITERAL = re.compile(
    r"(?P<whole>[0-9_]+)(?:\.(?P<part>[0-9_]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?(?P<unit>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class UnknownUnit(Problem):
    """A number carries a unit that the language does not know.

    Known are B and b (byte, bit) and their rates (`B/s`, `b/s`, `bps`), FLOP and FLOPS, W, s, ms,
    us, ns, min, h, d, USD and `USD/h`, `%`; with the prefixes k M G T P (powers of 1000) and
    Ki Mi Gi Ti Pi (powers of 1024). A counting word follows a space: `8000 steps`.
    """

    slug: ClassVar[str] = "unknown-unit"
    title: ClassVar[str] = "`{text}` has the unknown unit `{unit}`"

    text: str
    unit: str
    suggestion: str | None = None

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None or self.suggestion is None:
            return ()
        better = self.text[: len(self.text) - len(self.unit)] + self.suggestion
        return (Fix(f"replace by `{better}`", (Edit(self.span, better),), safe=False),)


@dataclass(frozen=True, kw_only=True)
class BigK(Problem):
    """`K` is neither k (1000) nor Ki (1024); write the one that is meant."""

    slug: ClassVar[str] = "big-k"
    title: ClassVar[str] = "`{text}`: `K` could mean 1000 or 1024"
    label: ClassVar[str] = "write `Ki` for 1024 or `k` for 1000"

    text: str

    def fixes(self) -> tuple[Fix, ...]:
        if self.span is None:
            return ()
        number = self.text[:-1]
        return (Fix(f"replace by `{number}Ki`", (Edit(self.span, f"{number}Ki"),), safe=False),)


def literal(number: Number) -> Quantity | Problem:
    """The quantity a numeric literal stands for."""
    span, text = number.span, number.text
    match = _LITERAL.fullmatch(text)
    assert match is not None, "the tokenizer only makes numbers of this form"
    whole = match["whole"].replace("_", "")
    part = (match["part"] or "").replace("_", "")
    exponent = match["exponent"] or "0"
    if len(whole) + len(part) > MAXIMUM_DIGITS:
        limit, instead = f"{MAXIMUM_DIGITS} digits", "write fewer digits and an exponent: `1.5e20`"
        return Limit(span=span, what="the number is too long", limit=limit, instead=instead)
    if len(exponent) > 4 or abs(int(exponent)) > MAXIMUM_EXPONENT:
        limit = f"an exponent of {MAXIMUM_EXPONENT}"
        instead = f"write an exponent from -{MAXIMUM_EXPONENT} to {MAXIMUM_EXPONENT}"
        what = "the number is too large or too small"
        return Limit(span=span, what=what, limit=limit, instead=instead)
    unit = SPELLED.get(match["unit"])
    if unit is None:
        return _wrong_unit(number, match["unit"])
    power = int(exponent) - len(part)
    numerator = int(whole + part) * 10 ** max(power, 0) * unit.numerator
    denominator = 10 ** max(-power, 0) * unit.denominator
    if numerator > MAXIMUM_NUMBER * denominator:
        instead = "write a smaller number, or one with a smaller suffix"
        return Limit(span=span, what="the number is too large", limit="1e60", instead=instead)
    value = divide(numerator, denominator)
    return Quantity(value, unit.dimensions, None if number.word is None else number.word.text)


def _wrong_unit(number: Number, unit: str) -> Problem:
    if unit == "K":
        return BigK(span=number.span, text=number.text)
    suggestion = closest(unit, [name for name in SPELLED if name])
    word = number.text[: MAXIMUM_DIGITS + len(unit)]
    return UnknownUnit(span=number.span, text=word, unit=unit, suggestion=suggestion)


def divide(numerator: int, denominator: int) -> int | float:
    """An int where it is exact."""
    whole, rest = divmod(numerator, denominator)
    return numerator / denominator if rest else whole


def name_of(dimensions: Dimensions) -> str:
    """`a data rate`; for what has no name the exponents: `B^2/s`."""
    if dimensions in NAMES:
        return NAMES[dimensions][0]
    parts = zip(("B", "s", "FLOP", "W", "USD"), dimensions, strict=True)
    return "a quantity in " + " ".join(f"{unit}^{power}" for unit, power in parts if power)


def expected_units(dimensions: Dimensions) -> str:
    return NAMES[dimensions][1] if dimensions in NAMES else name_of(dimensions)


_SHOWN: Final[Mapping[Dimensions, tuple[str, int]]] = {
    Dimensions(bytes=1): ("B", 1024),
    Dimensions(bytes=1, seconds=-1): ("B/s", 1000),
    Dimensions(flops=1): ("FLOP", 1000),
    Dimensions(flops=1, seconds=-1): ("FLOP/s", 1000),
    Dimensions(watts=1): ("W", 1000),
}


def show(quantity: Quantity) -> str:
    """A quantity for people: `16,384`, `50 GB/s`, `76 GiB`, `0.38`."""
    number, word = quantity.number, quantity.word
    if quantity.dimensions in _SHOWN:
        unit, base = _SHOWN[quantity.dimensions]
        power = 0
        while abs(number) >= base and power < 6:
            number, power = number / base, power + 1
        prefix = ("", *PREFIXES["decimal" if base == 1000 else "binary"])[power]
        return f"{number:.4g} {prefix}{unit}"
    suffix = "" if word is None else f" {word}"
    if quantity.dimensions == Dimensions(seconds=1):
        suffix = " s"
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e15:
        number = int(number)
    return (f"{number:,}" if isinstance(number, int) else f"{number:.4g}") + suffix
