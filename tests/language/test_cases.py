"""Runs the cases of *.md: a spec and what the front end says of it, in one place.

A `##` section is a case. Fences named `llama PATH` are files, the first the root (`escaped`: the
text has Python escapes, for bytes that cannot stand here); `overrides` holds `path = value` lines.
Expected are a `diagnostics` fence (the rendered text), a `values` fence (every value that is not a
default, with its origin), or both. `--update-golden` rewrites them; review the diff.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.schema import BLOCKS
from dsl.diagnostics import problems
from dsl.frontend import Loaded, in_memory, load
from dsl.render import render
from dsl.schema import Count, Named, Pattern, is_entry
from dsl.spec import OriginKind, Spec

FOLDER = Path(__file__).parent
STANDARD = Path(__file__).parents[2] / "compiler"
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Case:
    file: Path
    title: str
    text: str

    @property
    def fences(self) -> list[tuple[list[str], str]]:
        return [(m["info"].split(), m["body"]) for m in FENCE.finditer(self.text)]

    def load(self) -> Loaded:
        files: dict[str, bytes | str] = {
            f"std/{file.name}": file.read_text() for file in STANDARD.glob("std/*.llama")
        }
        root: str | None = None
        overrides: list[tuple[str, str]] = []
        for info, body in self.fences:
            match info:
                case ["llama", path, *options]:
                    root = root or path
                    files[path] = unescape(body) if options == ["escaped"] else body
                case ["overrides"]:
                    for line in body.splitlines():
                        path, _, value = line.partition(" = ")
                        overrides.append((path, value))
                case _:
                    assert info in (["diagnostics"], ["values"]), f"unknown fence {info}"
        assert root is not None, "a case has a file"
        return load(root, in_memory(files), BLOCKS, overrides)

    def results(self) -> dict[str, str]:
        loaded = self.load()
        assert (loaded.spec is None) == any(d.is_error for d in loaded.diagnostics)
        values = "" if loaded.spec is None else dump(loaded.spec)
        return {"diagnostics": render(loaded.diagnostics, loaded.sources), "values": values}


def unescape(text: str) -> bytes:
    """The bytes that a text with Python escapes means."""
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def dump(spec: Spec) -> str:
    """`block path = value (origin)` for every value that is not a default, one a line."""
    lines: list[str] = []
    for (block, path), origin in spec.origins.table.items():
        homes = [named[block] for named in spec.blocks.values() if block in named]
        if origin.kind is OriginKind.DEFAULT or not path or not homes:
            continue
        shown = show(follow(homes[0], path))
        if shown is not None:
            lines.append(f"{block} {path} = {shown}  ({origin.kind.value})\n")
    for plan, asserts in spec.asserts.items():
        lines += [f"{plan} assert {one.text}\n" for one in asserts]
    return "".join(lines)


def follow(value: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(value, Pattern):
            value = value.kinds[0]
        value = dict(value.items)[name] if isinstance(value, Named) else getattr(value, name)
    return value


def show(value: Any) -> str | None:
    if isinstance(value, Pattern):
        return "layers of kinds " + " ".join(str(index) for index in value.indices)
    if isinstance(value, Count):
        return f"{value.value} {value.word}"
    if is_entry(type(value)):
        return type(value).entry_name
    return None if isinstance(value, Named) else repr(value)


def cases() -> list[Case]:
    found: list[Case] = []
    for file in sorted(FOLDER.glob("*.md")):
        sections = re.split(r"^(?=## )", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += [Case(file, text.splitlines()[0][3:], text) for text in sections[1:]]
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: Case, update_golden: bool) -> None:
    made = case.results()
    expected = {info[0]: body for info, body in case.fences if info[0] in made}
    assert expected, "a case expects something"
    if update_golden:
        rewrite(case, made)
        return
    for kind, body in expected.items():
        assert made[kind] == body
    if "diagnostics" not in expected:
        assert made["diagnostics"] == ""


def rewrite(case: Case, made: dict[str, str]) -> None:
    def replaced(match: re.Match[str]) -> str:
        info = match["info"].strip()
        return f"```{info}\n{made.get(info, match['body'])}```"

    text = case.file.read_text(encoding="utf-8")
    assert case.text in text
    new = FENCE.sub(replaced, case.text)
    case.file.write_text(text.replace(case.text, new), encoding="utf-8")


# A hundred errors in a page, and a root that is not there: tests/dsl/test_hostile.py
ELSEWHERE = {"too-many-errors", "file-missing"}


def test_every_problem_of_the_front_end_has_a_case() -> None:
    texts = "".join(case.text for case in cases())
    shown = set(re.findall(r"^(?:error|warning)\[([a-z0-9-]+)\]", texts, re.MULTILINE))
    known = {slug for slug, kind in problems().items() if kind.__module__.startswith("dsl.")}
    assert known - shown == ELSEWHERE


def test_every_problem_is_explained() -> None:
    for slug, kind in problems().items():
        assert kind.__doc__, slug
        assert not kind.__doc__.startswith(f"{kind.__name__}("), slug  # dataclass writes its own
