"""Units and expressions: literals by the tables of SI and IEC, and the laws of quantities."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dsl.diagnostics import Problem
from dsl.evaluate import Atom, Evaluated, UnknownPath, evaluate, parts, show_atom
from dsl.parser import parse
from dsl.schema import Dimension
from dsl.show import expression_text
from dsl.source import Source
from dsl.tree import Automatic, Expression, Let
from dsl.units import Dimensions, Quantity, show


def expression(text: str) -> Expression:
    parsed = parse(Source("a", f"let x = {text}"))
    (clause,) = parsed.tree.clauses
    assert parsed.problems == ()
    assert isinstance(clause, Let)
    assert not isinstance(clause.value, Automatic)
    return clause.value


def value(text: str, names: dict[str, Atom] | None = None) -> Atom:
    known = names or {}
    found = evaluate(expression(text), lambda path: known[path])
    assert isinstance(found, Evaluated), found
    return found.value


def problem(text: str) -> str:
    found = evaluate(expression(text), lambda path: None)
    assert isinstance(found, Problem)
    return found.slug


@pytest.mark.parametrize(
    ("text", "number", "dimensions"),
    [
        ("16_384", 16384, Dimensions()),
        ("8k", 8_000, Dimensions()),
        ("8Ki", 8_192, Dimensions()),
        ("4Mi", 4 * 2**20, Dimensions()),
        ("2.87T", 2_870_000_000_000, Dimensions()),
        ("1.5Ki", 1536, Dimensions()),
        ("2e3", 2000, Dimensions()),
        ("38%", 0.38, Dimensions()),
        ("80GiB", 80 * 2**30, Dimensions(bytes=1)),
        ("80GB", 80 * 10**9, Dimensions(bytes=1)),
        ("8b", 1, Dimensions(bytes=1)),
        ("400Gbps", 50 * 10**9, Dimensions(bytes=1, seconds=-1)),
        ("400Gb/s", 50 * 10**9, Dimensions(bytes=1, seconds=-1)),
        ("3.35TB/s", 3_350_000_000_000, Dimensions(bytes=1, seconds=-1)),
        ("989TFLOPS", 989 * 10**12, Dimensions(flops=1, seconds=-1)),
        ("700W", 700, Dimensions(watts=1)),
        ("30s", 30, Dimensions(seconds=1)),
        ("8h", 28_800, Dimensions(seconds=1)),
        ("54d", 54 * 86_400, Dimensions(seconds=1)),
        ("3.6USD/h", 0.001, Dimensions(dollars=1, seconds=-1)),
    ],
)
def test_literals(text: str, number: float, dimensions: Dimensions) -> None:
    assert value(text) == Quantity(number, dimensions)


@pytest.mark.parametrize("text", ["8K", "1GBps2", "5m", "3X"])
def test_literals_nobody_can_read(text: str) -> None:
    assert problem(text) in ("big-k", "unknown-unit")


@given(st.integers(0, 10**18), st.sampled_from(["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]))
def test_suffixes_are_powers(number: int, suffix: str) -> None:
    base = 1024 if suffix.endswith("i") else 1000
    power = " KMGT".index(suffix[:1].upper() or " ")
    assert value(f"{number}{suffix}") == Quantity(number * base**power)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-9, 9))
def test_decimals_are_exact(whole: int, part: int, exponent: int) -> None:
    exact = Fraction(f"{whole}.{part}") * Fraction(10) ** exponent
    found = value(f"{whole}.{part}e{exponent}")
    assert isinstance(found, Quantity)
    assert found.number == (int(exact) if exact.denominator == 1 else float(exact))


UNITS = st.sampled_from(["", "B", "GiB", "Gbps", "s", "W", "TFLOPS", "USD"])
NUMBERS = st.integers(1, 10**6)


@given(NUMBERS, NUMBERS, NUMBERS, UNITS, UNITS)
def test_quantities_of_one_dimension_form_a_vector_space(
    a: int, b: int, c: int, unit: str, other: str
) -> None:
    """Sums commute and associate, products distribute, and a quotient undoes a product; over whole
    numbers of units, where floats are exact enough to compare."""
    x, y, z = f"{a}{unit}", f"{b}{unit}", f"{c}{unit}"
    assert value(f"{x} + {y}") == value(f"{y} + {x}")
    assert value(f"({x} + {y}) + {z}") == value(f"{x} + ({y} + {z})")
    assert value(f"{c} * ({x} + {y})") == value(f"{c} * {x} + {c} * {y}")
    assert value(f"{x} - {x} + {y}") == value(y)
    assert value(f"{x} * {b}{other} / ({b}{other}) == {x}") is True


@given(NUMBERS, UNITS, UNITS)
def test_what_measures_other_things_does_not_add_up(a: int, unit: str, other: str) -> None:
    one, two = value(f"1{unit}"), value(f"1{other}")
    assert isinstance(one, Quantity)
    assert isinstance(two, Quantity)
    assume(one.dimensions != two.dimensions)
    assert problem(f"{a}{unit} + {a}{other}") == "mixed-units"
    assert problem(f"{a}{unit} < {a}{other}") == "mixed-units"


@given(NUMBERS, NUMBERS)
def test_counting_words_do_not_mix(a: int, b: int) -> None:
    assert problem(f"{a} tokens + {b} sequences") == "mixed-units"
    assert value(f"{a} tokens + {b}") == Quantity(a + b, word="tokens")
    assert value(f"{a} tokens * {b}") == Quantity(a * b, word="tokens")


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return str(draw(st.integers(0, 9)))
    operator = draw(st.sampled_from(["+", "-", "*", "//", "%", "**"]))
    left, right = draw(arithmetic(depth=depth - 1)), draw(arithmetic(depth=depth - 1))
    form = draw(st.sampled_from(["{} {} {}", "({} {} {})", "-{} {} {}"]))
    return form.format(left, operator, right)


@given(arithmetic())
def test_arithmetic_is_python_s(text: str) -> None:
    """Python's own arithmetic on ints is the reference; where it has no small value, so have we."""
    try:
        wanted = eval(text, {"__builtins__": {}})
    except (ZeroDivisionError, OverflowError):
        assume(False)
    assume(isinstance(wanted, int) and abs(wanted) < 10**60)
    found = evaluate(expression(text), lambda path: None)
    if isinstance(found, Problem):
        assert found.slug == "not-computable"  # a step in between was too large
    else:
        assert isinstance(found, Evaluated)
        assert found.value == Quantity(wanted)


@given(arithmetic())
def test_expressions_print_as_what_they_are(text: str) -> None:
    once = expression_text(expression(text))
    assert expression_text(expression(once)) == once
    first, again = (evaluate(expression(form), lambda path: None) for form in (text, once))
    if isinstance(first, Evaluated):
        assert isinstance(again, Evaluated)
        assert first.value == again.value


def test_logic_and_lists() -> None:
    assert value("tp in [1, 2] and not pp == 1", {"tp": Quantity(2), "pp": Quantity(4)}) is True
    assert value("tp > 1 or 1 / 0 > 1", {"tp": Quantity(2)}) is True  # the right is not needed
    assert value('"a" == "a"') is True
    assert problem("1 and true") == "wrong-operand"
    assert problem('1 < "a"') == "wrong-operand"
    assert problem('1 == "a"') == "wrong-operand"


def test_an_assert_shows_its_parts() -> None:
    tree = expression("memory.peak * 2 < 76GiB + margin")
    names: dict[str, Atom] = {
        "memory.peak": Quantity.of(50 * 2**30, Dimension.BYTES),
        "margin": Quantity.of(2**30, Dimension.BYTES),
    }
    found = evaluate(tree, lambda path: names[path])
    assert isinstance(found, Evaluated)
    assert found.value is False
    shown = [(expression_text(part), show_atom(made)) for part, made in parts(tree, found)]
    assert shown == [
        ("memory.peak", "50 GiB"),
        ("memory.peak * 2", "100 GiB"),
        ("margin", "1 GiB"),
        ("76GiB + margin", "77 GiB"),
        ("memory.peak * 2 < 76GiB + margin", "false"),
    ]
    assert found.arithmetic(tree) == "50 GiB * 2 < 76GiB + 1 GiB"


def test_a_path_nobody_knows() -> None:
    tree = expression("memory.peak < 76GiB")
    found = evaluate(tree, lambda path: UnknownPath(path, tree.span))
    assert isinstance(found, UnknownPath)
    assert found.path == "memory.peak"


def test_quantities_for_people() -> None:
    assert show(Quantity(16384)) == "16,384"
    assert show(Quantity(6.4)) == "6.4"
    assert show(Quantity.of(76 * 2**30, Dimension.BYTES)) == "76 GiB"
    assert show(Quantity.of(50e9, Dimension.BYTES_PER_SECOND)) == "50 GB/s"
    assert show(Quantity(8, word="sequences")) == "8 sequences"
