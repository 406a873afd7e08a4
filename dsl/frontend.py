"""The front end in one call: a file's name and a way to read files in, a `Spec` or diagnostics out.

`load` is pure: it reads nothing itself. `lookup` gets a path as imports spell it, normalised
(`std/llama3.llama`, or relative to where the root file's path is), and returns the file's bytes or
text, or why it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dsl.diagnostics import Diagnostic
from dsl.source import Source
from dsl.spec import Spec


@dataclass(frozen=True)
class Missing:
    """No such file; `neighbours` are the files of its folder, for did-you-mean."""

    neighbours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """The file is there but cannot be read: `reason` is what the system says."""

    reason: str


Lookup: TypeAlias = Callable[[str], bytes | str | Missing | Unreadable]


@dataclass(frozen=True)
class Loaded:
    """`spec` is None exactly when a diagnostic is an error; warnings stand beside a spec.

    `sources` are the files read, by path: what the renderer needs.
    """

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
    raise NotImplementedError


def in_memory(files: Mapping[str, bytes | str]) -> Lookup:
    """A lookup over a mapping of paths to texts."""

    def lookup(path: str) -> bytes | str | Missing | Unreadable:
        return files[path] if path in files else Missing(tuple(files))

    return lookup
