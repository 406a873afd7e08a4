"""Illegal combinations of a plan and what is said of them: the cases of illegal.md.

A `##` section is a case: a `plan` fence with lines of the plan, and the rendered `diagnostics`.
`--update-golden` rewrites the latter; review the diff.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compiler.pipeline import compile_named, read
from dsl.render import render

FILE = Path(__file__).parent / "illegal.md"
FENCE = re.compile(r"(?s)^```(?P<info>\w+)\n(?P<body>.*?)^```$", re.MULTILINE)
TITLES = re.findall(r"(?m)^## (.*)$", FILE.read_text(encoding="utf-8"))


def fences(text: str) -> dict[str, str]:
    return {found["info"]: found["body"] for found in FENCE.finditer(text)}


def section(text: str, title: str) -> str:
    start = text.index(f"## {title}\n")
    end = text.find("\n## ", start)
    return text[start : end if end > 0 else len(text)]


def said(base: str, lines: str) -> str:
    spec = base.replace("  # lines\n", lines)
    loaded = read("spec.llama", lambda path: spec)
    assert loaded.spec is not None, loaded.diagnostics
    result = compile_named(loaded.spec, "main")
    assert (result.compiled is None) == any(one.is_error for one in result.diagnostics)
    return render(result.diagnostics, loaded.sources)


@pytest.mark.parametrize("title", TITLES)
def test_illegal(title: str, update_golden: bool) -> None:
    text = FILE.read_text(encoding="utf-8")
    case = section(text, title)
    found = fences(case)
    made = said(fences(text)["llama"], found["plan"])
    if update_golden:
        changed = case.replace(f"```diagnostics\n{found['diagnostics']}", f"```diagnostics\n{made}")
        FILE.write_text(text.replace(case, changed), encoding="utf-8")
        return
    assert made == found["diagnostics"]
