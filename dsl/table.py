"""Builds grammar.json, the LALR(1) table that ships, from grammar.lark: `python -m dsl.table`.

Lark works the table out (a quarter of a second); running it needs forty lines and no import of
lark, which alone would cost more than the rest of the front end's start-up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

FOLDER = Path(__file__).parent
GRAMMAR = FOLDER / "grammar.lark"
TABLE = FOLDER / "grammar.json"
STARTS = ("file", "line")


class RuleData(TypedDict):
    """`builder` names the function that makes the node; None: children join the parent's."""

    symbol: str
    builder: str | None
    length: int
    keep: list[int]  # positions of the symbols that carry meaning
    single: bool  # a single child passes through as it is


class TableData(TypedDict):
    """`states[s][symbol]` is n >= 0: shift, or go to state n; n < 0: reduce by rule -n - 1."""

    keywords: dict[str, str]
    terminals: list[tuple[str, str]]
    literals: dict[str, str]
    rules: list[RuleData]
    states: list[dict[str, int]]
    starts: dict[str, int]
    ends: dict[str, int]


def build(grammar: str) -> TableData:
    """The table of a grammar; raises lark's GrammarError on a conflict."""
    from lark import Lark
    from lark.grammar import Rule, Terminal
    from lark.lexer import PatternStr, TerminalDef
    from lark.parsers.lalr_analysis import Shift

    lark = Lark(
        grammar, start=list(STARTS), parser="lalr", lexer="basic", strict=False, cache=False
    )
    # Lark keeps its table in the parser it made; there is no public door to it, and no types.
    made = cast(Any, lark.parser).parser._parse_table
    actions = cast(Mapping[int, Mapping[str, tuple[object, Any]]], made.states)
    first = cast(Mapping[str, int], made.start_states)
    last = cast(Mapping[str, int], made.end_states)
    rules: list[Rule] = sorted(
        lark.rules, key=lambda r: (r.origin.name, [s.name for s in r.expansion], r.alias or "")
    )
    number = {rule: index for index, rule in enumerate(rules)}
    terminals: list[TerminalDef] = list(lark.terminals)
    names = [t for t in terminals if isinstance(t.pattern, PatternStr)]
    words = {t.pattern.value: t.name for t in names if t.pattern.value.isidentifier()}
    signs = {t.pattern.value: t.name for t in names if not t.pattern.value.isidentifier()}
    patterns = [(t.name, t.pattern.to_regexp()) for t in terminals if t not in names]
    patterns += [(name, re.escape(sign)) for sign, name in signs.items()]

    def rule_data(rule: Rule) -> RuleData:
        inline = rule.origin.name.startswith("_") and not rule.alias
        keep = [
            index
            for index, symbol in enumerate(rule.expansion)
            if not (isinstance(symbol, Terminal) and symbol.filter_out)
            and symbol.name not in ("NEWLINE", "_separator")
        ]
        return {
            "symbol": rule.origin.name,
            "builder": None if inline else str(rule.alias or rule.origin.name),
            "length": len(rule.expansion),
            "keep": keep,
            "single": bool(rule.options.expand1) and not rule.alias,
        }

    # Lark numbers states by chance; walking from the starts numbers them the same each time.
    order: list[int] = []
    waiting = [first[start] for start in STARTS]
    while waiting:
        state = waiting.pop(0)
        if state not in order:
            order.append(state)
            steps = sorted(actions[state].items())
            waiting += [target for _, (action, target) in steps if action is Shift]
    place = {state: index for index, state in enumerate(order)}
    states = [
        {
            symbol: place[argument] if action is Shift else -number[argument] - 1
            for symbol, (action, argument) in sorted(actions[state].items())
        }
        for state in order
    ]
    return {
        "keywords": dict(sorted(words.items())),
        # Longer signs first, so that `**` is not two `*`; patterns before all signs.
        "terminals": sorted(patterns, key=lambda p: (p[0] in signs.values(), -len(p[1]), p[0])),
        "literals": {name: value for value, name in sorted((words | signs).items())},
        "rules": [rule_data(rule) for rule in rules],
        "states": states,
        "starts": {start: place[first[start]] for start in STARTS},
        "ends": {start: place[last[start]] for start in STARTS},
    }


def main() -> None:
    table = build(GRAMMAR.read_text(encoding="utf-8"))
    TABLE.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
