"""Helps that work: what a diagnostic says to type is typed, and the spec is checked again.

Every fix and every suggestion of every illegal spec in the tests (`*.md` here, and
`tests/compiler/illegal.md`) is applied on its own. The error it belongs to must be gone, and no
other may stand where the edit was made. What is to be typed must be data: a help in words that
asks to write something fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from compiler.pipeline import compile_named, read
from compiler.schema import PlanSpec
from dsl.diagnostics import Diagnostic, Edit
from dsl.files import in_memory
from dsl.fixes import apply_edits
from dsl.source import Source, Span
from tests.compiler.test_illegal import FILE as ILLEGAL
from tests.compiler.test_illegal import fences, section
from tests.language.test_cases import STANDARD, cases, unescape

Files = Mapping[str, bytes | str]
LIBRARY = {f"std/{file.name}": file.read_text() for file in STANDARD.glob("std/*.llama")}


@dataclass(frozen=True)
class Illegal:
    """A spec of the tests; `root` is the file that is checked."""

    name: str
    root: str
    files: Files


@dataclass(frozen=True)
class Found:
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]

    @property
    def errors(self) -> list[Diagnostic]:
        return [one for one in self.diagnostics if one.is_error]


def illegal_specs() -> Iterator[Illegal]:
    text = ILLEGAL.read_text(encoding="utf-8")
    for title in re.findall(r"(?m)^## (.*)$", text):
        spec = fences(text)["llama"].replace("  # lines\n", fences(section(text, title))["plan"])
        yield Illegal(f"{ILLEGAL.stem}: {title}", "spec.llama", {"spec.llama": spec})
    for case in cases():
        infos = [info for info, _ in case.fences]
        if ["overrides"] in infos or ["diagnostics"] not in infos:
            continue  # what `--set` says is in no file
        files = {
            info[1]: unescape(body) if info[2:] == ["escaped"] else body
            for info, body in case.fences
            if info[0] == "llama"
        }
        yield Illegal(f"{case.file.stem}: {case.title}", next(iter(files)), files)


def check(root: str, files: Files) -> Found:
    """What `llamac check` says of the file and its plans."""
    loaded = read(root, in_memory({**LIBRARY, **files}))
    found = [*loaded.diagnostics]
    if loaded.spec is not None:
        for plan in loaded.spec.all(PlanSpec):
            found += compile_named(loaded.spec, plan).diagnostics
    return Found(tuple(dict.fromkeys(found)), loaded.sources)


def edited(edits: tuple[Edit, ...]) -> list[Span]:
    """Where the edits are in the new texts."""
    moved: dict[str, int] = {}
    spans: list[Span] = []
    for edit in sorted(edits, key=lambda edit: edit.span):
        start = edit.span.start + moved.get(edit.span.path, 0)
        spans.append(Span(edit.span.path, start, start + len(edit.text)))
        gained = len(edit.text) - (edit.span.end - edit.span.start)
        moved[edit.span.path] = moved.get(edit.span.path, 0) + gained
    return spans


def failures(before: Found, spec: Illegal) -> Iterator[str]:
    for diagnostic in before.diagnostics:
        fixes = [(fix.title, fix.edits) for fix in diagnostic.fixes]
        typed = [(one.text, one.edits) for one in diagnostic.suggestions]
        for title, edits in (*fixes, *typed):
            if not edits:
                yield f"{diagnostic.slug}: `{title}` has no edit"
                continue
            texts = apply_edits(edits, before.sources)
            after = check(spec.root, {**spec.files, **texts})
            places = edited(edits)
            for other in after.errors:
                here = other.primary is not None and any(
                    other.primary.span.path == place.path
                    and other.primary.span.start <= place.end
                    and place.start <= other.primary.span.end
                    for place in places
                )
                if here or (other.slug, other.title) == (diagnostic.slug, diagnostic.title):
                    yield f"{diagnostic.slug}: `{title}` leads to {other.slug}: {other.title}"
            if diagnostic in after.diagnostics:
                yield f"{diagnostic.slug}: `{title}` changes nothing"


SPECS = {spec.name: spec for spec in illegal_specs()}


@pytest.mark.parametrize("name", SPECS)
def test_what_a_help_says_to_type_works(name: str) -> None:
    spec = SPECS[name]
    assert [*failures(check(spec.root, spec.files), spec)] == []


def test_what_is_to_be_typed_is_data() -> None:
    """The text of a suggestion is rendered as the first help; `write` in another has no edit."""
    for spec in SPECS.values():
        for diagnostic in check(spec.root, spec.files).diagnostics:
            words = diagnostic.helps[1:] if diagnostic.suggestions else diagnostic.helps
            assert not [text for text in words if "write `" in text], (spec.name, words)


def test_there_are_many_helps_to_type() -> None:
    """So that the cases above cannot pass for want of anything to try."""
    every = (one for spec in SPECS.values() for one in check(spec.root, spec.files).diagnostics)
    assert sum(len(one.suggestions) + len(one.fixes) for one in every) > 100
