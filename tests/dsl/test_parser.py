"""The parser: the language's forms, and what one mistake costs."""

from __future__ import annotations

from functools import cache

import pytest

from dsl.layout import lines_of
from dsl.parser import parse
from dsl.source import Source
from dsl.tokens import NEWLINE, Token, tokenize
from dsl.tree import (
    Block,
    Clause,
    Component,
    Hole,
    Let,
    ListValue,
    Number,
    Operation,
    Path,
    Refine,
    Replace,
)
from tests.dsl.examples import LARGE, MIXED, SMALL

EXAMPLES = {"large": LARGE, "mixed": MIXED, "small": SMALL}


def tree_of(text: str) -> tuple[Clause, ...]:
    parsed = parse(Source("a.llama", text))
    assert parsed.problems == ()
    return parsed.tree.clauses


def value_of(text: str) -> object:
    (clause,) = tree_of(f"let x = {text}\n")
    assert isinstance(clause, Let)
    return clause.value


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_examples_parse(text: str) -> None:
    assert tree_of(text)


def test_the_same_component_in_three_forms() -> None:
    forms = [
        value_of("f(a = 1, b = 2)"),
        value_of("f { a = 1, b = 2 }"),
        value_of("f(a = 1) { b = 2 }"),
    ]
    for form in forms:
        assert isinstance(form, Component)
        assert [c.path.text for c in form.body if isinstance(c, Replace)] == ["a", "b"]


def test_precedence_and_association() -> None:
    # a + ((b * (-(c ** (d ** e)))) - ... ) as in Python, whose table the language uses.
    value = value_of("a - b - c * -d ** e ** f")
    assert isinstance(value, Operation)
    assert value.operator == "-"
    assert isinstance(value.left, Operation)
    assert value.left.operator == "-"
    assert isinstance(value.right, Operation)
    assert value.right.operator == "*"


def test_a_newline_continues_after_a_sign_and_inside_brackets() -> None:
    assert isinstance(value_of("1 +\n  2"), Operation)
    assert isinstance(value_of("[\n  1,\n  2,\n]"), ListValue)
    assert isinstance(value_of("f(\n  a =\n    1\n)"), Component)
    assert len(tree_of("let a =\n  1\nlet b = 2")) == 2


def test_commas_and_newlines_separate_alike() -> None:
    (clause,) = tree_of("m x {\n a = 1, b = 2,\n\n,c = 3\n}")
    assert isinstance(clause, Block)
    assert [c.path.text for c in clause.body if isinstance(c, Replace)] == ["a", "b", "c"]


def test_a_condition_does_not_eat_the_body_after_it() -> None:
    (block,) = tree_of("m x { layer where i == last { a = 1 } }")
    assert isinstance(block, Block)
    (clause,) = block.body
    assert isinstance(clause, Refine)
    assert isinstance(clause.predicate, Operation)
    assert len(clause.body) == 1


def test_percent_is_a_unit_without_and_an_operator_with_spaces() -> None:
    assert isinstance(value_of("38%"), Number)
    assert isinstance(value_of("i % 4"), Operation)


def test_spans_are_what_was_written() -> None:
    source = Source("a.llama", SMALL)
    for clause in parse(source).tree.clauses:
        if isinstance(clause, Block):
            assert source.text_of(clause.head) == f"{clause.kind.text} {clause.name.text}"
            assert source.text_of(clause.span).endswith("}")
        if isinstance(clause, Let):
            assert isinstance(clause.value, Number)
            assert source.text_of(clause.value.span) == clause.value.text


# -- recovery --------------------------------------------------------------------------------


def fields(clauses: tuple[Clause, ...], prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Paths of all fields that have a value."""
    found: set[tuple[str, ...]] = set()
    for clause in clauses:
        match clause:
            case Replace(_, Hole(), _) | Let(_, Hole(), _):
                pass
            case Replace(Path() as path, value, _):
                found.add((*prefix, path.text))
                if isinstance(value, Component):
                    found |= fields(value.body, (*prefix, path.text))
            case Refine(path, _, body, _):
                found |= fields(body, (*prefix, path.text))
            case Block(kind, name, _, _, body, _):
                found |= fields(body, (*prefix, kind.text, name.text))
            case Let(name, _, _):
                found.add((*prefix, name.text))
            case _:
                pass
    return found


def without(text: str, token: Token) -> str:
    """The text without one token; a line keeps its indentation."""
    return text[: token.start] + text[token.end :].lstrip(" ")


@cache
def deletions(text: str) -> list[tuple[Token, int, int, int]]:
    """For every token: the token, errors without it, fields lost, fields its line names."""
    source = Source("a.llama", text)
    everything = fields(parse(source).tree.clauses)
    made: list[tuple[Token, int, int, int]] = []
    for line in lines_of(source, tokenize(text, 10_000)):
        here = sum(after.kind == "EQUAL" for after in line.words)
        for token in line.words:
            assert token.kind != NEWLINE
            parsed = parse(Source("a.llama", without(text, token)))
            lost = len(everything - fields(parsed.tree.clauses))
            made.append((token, len(parsed.problems), lost, here))
    return made


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_token_left_out_is_at_most_one_error(text: str) -> None:
    assert [d for d in deletions(text) if d[1] > 1] == []


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_a_bracket_left_out_costs_its_own_line_at_most(text: str) -> None:
    brackets = [d for d in deletions(text) if d[0].kind in ("LBRACE", "RBRACE", "LPAR", "RPAR")]
    assert brackets
    assert [d for d in brackets if d[2] > d[3]] == []


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_nineteen_of_twenty_tokens_left_out_lose_six_fields_at_most(text: str) -> None:
    lost = sorted(d[2] for d in deletions(text))
    assert lost[len(lost) * 95 // 100] <= 6
