"""The LALR(1) automaton that runs grammar.json: tokens in, what the builders make out.

The table is worked out by `dsl.table`. A symbol on the stack is a value and the characters it
covers; a rule without a builder is a list of children that joins its parent's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

MAXIMUM_DEPTH: Final = 32
"""Operations inside operations; keeps every later walk of the tree within Python's own stack."""

BODY: Final = "body"  # the rule inside which operations are counted from zero; brackets bound these


class Lexeme(Protocol):
    """What the automaton needs of a token."""

    @property
    def kind(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class Rule(NamedTuple):
    symbol: str
    builder: str | None
    length: int
    keep: tuple[int, ...]
    single: bool


@dataclass(frozen=True)
class Table:
    """See `dsl.table.TableData`."""

    keywords: Mapping[str, str]
    terminals: tuple[tuple[str, str], ...]
    literals: Mapping[str, str]
    rules: tuple[Rule, ...]
    states: tuple[Mapping[str, int], ...]
    starts: Mapping[str, int]
    ends: Mapping[str, int]


def _read_table() -> Table:
    with open(os.path.join(os.path.dirname(__file__), "grammar.json"), encoding="utf-8") as file:
        data = json.load(file)
    return Table(
        keywords=data["keywords"],
        terminals=tuple((name, pattern) for name, pattern in data["terminals"]),
        literals=data["literals"],
        rules=tuple(
            Rule(r["symbol"], r["builder"], r["length"], tuple(r["keep"]), r["single"])
            for r in data["rules"]
        ),
        states=tuple(data["states"]),
        starts=data["starts"],
        ends=data["ends"],
    )


TABLE: Final = _read_table()


@dataclass(frozen=True)
class Stuck:
    """The token at `index` cannot stand there; these symbols could. `index` may be the length."""

    index: int
    expected: frozenset[str]
    too_deep: bool = False


# What a builder makes is a node, a token or a list of them: as many types as there are rules.
Made = Any
Builder = Callable[[list[Made], int, int], Made]


def run(
    start: str, tokens: Sequence[Lexeme], builders: Mapping[str, Builder]
) -> tuple[Made] | Stuck:
    """Parse `tokens` as `start`; the one-tuple holds what the start rule's builder made."""
    states, rules = TABLE.states, TABLE.rules
    final = TABLE.ends[start]
    stack = [TABLE.starts[start]]
    values: list[Made] = []
    spans: list[tuple[int, int, int]] = []  # start, end, depth
    for index in range(len(tokens) + 1):
        token = tokens[index] if index < len(tokens) else None
        kind = "$END" if token is None else token.kind
        while True:
            action = states[stack[-1]].get(kind)
            if action is None:
                return Stuck(index, frozenset(states[stack[-1]]))
            if action >= 0:
                break
            rule = rules[-action - 1]
            if not _reduce(rule, values, spans, builders):
                return Stuck(index, frozenset(), too_deep=True)
            del stack[len(stack) - rule.length :]
            stack.append(states[stack[-1]][rule.symbol])
            if token is None and stack[-1] == final:
                return (values[-1],)
        stack.append(action)
        if token is not None:
            values.append(token)
            spans.append((token.start, token.end, 0))
    raise AssertionError("the automaton accepts or is stuck at the end of its tokens")


def _reduce(
    rule: Rule,
    values: list[Made],
    spans: list[tuple[int, int, int]],
    builders: Mapping[str, Builder],
) -> bool:
    """Replace the rule's symbols on the stack by what it makes; False: nested too deep."""
    if rule.single:
        return True
    first = len(values) - rule.length
    covered = spans[first:]
    children = [values[first + position] for position in rule.keep]
    if children and isinstance(children[0], Joined):
        joined = children[0]  # nobody else holds it: growing it in place keeps long lists linear
        rest = children[1:]
    else:
        joined = Joined()
        rest = children
    for child in rest:
        if isinstance(child, Joined):
            joined.extend(child)
        else:
            joined.append(child)
    begin = covered[0][0] if covered else (spans[-1][1] if spans else 0)
    end = covered[-1][1] if covered else begin
    depth = max((span[2] for span in covered), default=0)
    made: Made = joined
    if rule.builder is not None:
        depth = 0 if rule.builder == BODY else depth + 1
        made = builders[rule.builder](list(joined), begin, end)
    del values[first:], spans[first:]
    values.append(made)
    spans.append((begin, end, depth))
    return depth <= MAXIMUM_DEPTH


class Joined(list[Made]):
    """Children of a rule without a builder, on their way into the parent's."""
