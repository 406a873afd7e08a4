"""The parse table that ships is the grammar's, and running it needs no lark."""

from __future__ import annotations

import json
import subprocess
import sys

from dsl.automaton import TABLE
from dsl.build import builders
from dsl.table import GRAMMAR, build
from dsl.table import TABLE as FILE


def test_the_table_is_fresh() -> None:
    made = json.loads(json.dumps(build(GRAMMAR.read_text(encoding="utf-8"))))
    assert json.loads(FILE.read_text(encoding="utf-8")) == made, "run `python -m dsl.table`"


def test_every_rule_has_a_builder() -> None:
    used = {rule.builder for rule in TABLE.rules if rule.builder is not None and not rule.single}
    assert used == set(builders("a.llama", []))


def test_the_front_end_imports_neither_lark_nor_torch() -> None:
    code = (
        "import sys, dsl.frontend, dsl.render; print('lark' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
