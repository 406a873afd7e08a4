"""Canonical JSON: reading gives back what was written, and takes nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.schema import BLOCKS
from dsl.canonical import NotCanonical, from_json, to_json
from dsl.frontend import in_memory, load
from dsl.schema import (
    AUTO,
    Count,
    Field,
    Named,
    Pattern,
    Shape,
    entries_under,
    entry_name,
    fields_of,
)
from tests.dsl.examples import SMALL


def values(field: Field, shape: Shape) -> st.SearchStrategy[Any]:
    """Every value of a row's type, whatever it means."""
    low = int(field.row.minimum or 0)
    bounds = {
        "min_value": field.row.minimum if field.row.above is None else field.row.above,
        "max_value": 1e30 if field.row.below is None else field.row.below,
        "exclude_min": field.row.above is not None,
        "exclude_max": field.row.below is not None,
    }
    options: list[st.SearchStrategy[Any]] = []
    if int in shape.scalars:
        options.append(st.integers(low, 2**40).filter(lambda n: field.row.bound(n) is None))
    if float in shape.scalars:
        options.append(st.floats(allow_nan=False, allow_infinity=False, **bounds))
    if bool in shape.scalars:
        options.append(st.booleans())
    if str in shape.scalars:
        options.append(st.text(max_size=5))
    options += [st.just(word) for word in shape.words]
    options += [instances(entry) for entry in shape.entries]
    if shape.none:
        options.append(st.none())
    if shape.auto:
        options.append(st.just(AUTO))
    if shape.count:
        words = st.sampled_from(field.row.words)
        options.append(st.builds(Count, st.integers(low, 2**40), words))
    if shape.items is not None:
        least, most = (0, 3) if field.row.length is None else (field.row.length,) * 2
        items = values(field, shape.items)
        lists = st.lists(items, min_size=least, max_size=most, unique=field.row.distinct)
        options.append(lists.map(tuple))
    if shape.pattern is not None:
        options.append(patterns(shape.pattern))
    if shape.named is not None:
        pairs = st.lists(st.tuples(st.text(max_size=3), instances(shape.named)), max_size=2)
        options.append(pairs.map(lambda made: Named(tuple(made))))
    return st.one_of(options)


def instances(entry: type) -> st.SearchStrategy[Any]:
    rows = {name: values(field, field.shape) for name, field in fields_of(entry).items()}
    return st.deferred(lambda: st.builds(entry, **rows))


@st.composite
def patterns(draw: st.DrawFn, entry: type) -> Pattern[Any]:
    kinds = draw(st.lists(instances(entry), min_size=1, max_size=3))
    layers = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    used = tuple(dict.fromkeys(layers))
    return Pattern(used, tuple(used.index(layer) for layer in layers))


@settings(max_examples=30)  # each is a whole block with every entry in it, so drawing is slow
@given(st.sampled_from(list(BLOCKS.values())).flatmap(instances))
def test_reading_gives_back_what_was_written(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert from_json(json.loads(text), type(value)) == value
    assert json.dumps(to_json(from_json(json.loads(text), type(value)))) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.data())
def test_anything_else_is_refused_or_read_as_it_stands(data: st.DataObject) -> None:
    """One place of a good JSON replaced by any JSON: an error of its own, or a value that prints
    as that JSON."""
    plan = load("a.llama", in_memory({"a.llama": SMALL}), BLOCKS).spec
    assert plan is not None
    good: Any = to_json(plan.blocks["plan"]["main"])
    node = good
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    try:
        value = from_json(good, BLOCKS["plan"])
    except NotCanonical:
        return
    assert from_json(to_json(value), BLOCKS["plan"]) == value


def test_the_error_says_where() -> None:
    spec = load("a.llama", in_memory({"a.llama": SMALL}), BLOCKS).spec
    assert spec is not None
    good: Any = to_json(spec.blocks["plan"]["main"])
    good["model"]["d_model"] = "64"
    with pytest.raises(NotCanonical, match=r"plan\.model\.d_model: expected int, found '64'"):
        from_json(good, BLOCKS["plan"])


def test_an_entry_is_all_its_rows_in_the_order_of_the_schema() -> None:
    for block in BLOCKS.values():
        for entry in entries_under(block):
            assert list(fields_of(entry)) == [row.name for row in fields_of(entry).values()]
            assert entry_name(entry).isidentifier()
