"""The front end in one call: a file's name and a way to read files in, a `Spec` or diagnostics out.

`load` is pure: it reads nothing itself. `lookup` gets a path as imports spell it, normalised
(`std/llama3.llama`, or relative to where the root file's path is), and returns the file's bytes or
text, or why it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsl.check import check
from dsl.diagnostics import Diagnostic, Severity
from dsl.files import Lookup, Missing, Unreadable, in_memory
from dsl.resolve import resolve
from dsl.source import Source
from dsl.spec import Spec
from dsl.syntax import MAXIMUM_ERRORS, TooManyErrors

__all__ = ["Loaded", "Lookup", "Missing", "Unreadable", "in_memory", "load"]


@dataclass(frozen=True)
class Loaded:
    """`spec` is None exactly when a diagnostic is an error; warnings stand beside a spec.

    `path` is the root file; `sources` are the files read, by path: what the renderer needs.
    """

    path: str
    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]


def load(
    path: str,
    lookup: Lookup,
    schema: Mapping[str, type],
    overrides: Sequence[tuple[str, str]] = (),
    root: str | None = None,
) -> Loaded:
    """Read, resolve and check the file at `path` and what it imports.

    schema      block kind -> entry class (`compiler.schema.BLOCKS`)
    overrides   (path, value) pairs, set in every plan: `("tp", "4")`
    root        the folder that imports may not leave; left out: the folder of `path`
    """
    resolved = resolve(path, lookup, root)
    checked = check(resolved, schema, overrides)
    sources = {**resolved.sources, **checked.sources}
    order = {name: place for place, name in enumerate(sources)}
    problems = sorted(
        checked.problems,
        key=lambda p: (-1, 0) if p.span is None else (order.get(p.span.path, 0), p.span.start),
    )
    if len(problems) > MAXIMUM_ERRORS:
        # Errors stay in front of warnings, so that a spec is None exactly when one is shown.
        errors = [problem for problem in problems if problem.severity is Severity.ERROR]
        shown = (errors or problems)[:MAXIMUM_ERRORS]
        problems = [*shown, TooManyErrors(span=None, count=len(problems) - len(shown))]
    diagnostics = tuple(problem.diagnostic() for problem in problems)
    return Loaded(path, checked.spec, diagnostics, sources)
