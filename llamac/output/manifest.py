"""`MANIFEST.json`: which files of a directory are ours, and how to see that one was edited.

`evidence/`, `runs/` and `checkpoints/` are what a program and its checks leave behind: they are
never part of a manifest, and never written by a compile.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

NAME = "MANIFEST.json"
FORMAT = 1
LEFT_BEHIND = frozenset({"evidence", "runs", "checkpoints"})
_COMPONENT = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """Digests by path: of the canonical spec, and of every file written but the manifest."""

    spec: str
    files: Mapping[str, str]

    def text(self) -> str:
        content = {"format": FORMAT, "spec": self.spec, "files": dict(sorted(self.files.items()))}
        return json.dumps(content, indent=2) + "\n"


@dataclass(frozen=True)
class EditedFile:
    """A file that holds something other than we wrote, and what writing would do to it."""

    name: str
    diff: str


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_safe(name: str) -> bool:
    """Whether `name` stays inside the directory on every system: plain components, no tricks."""
    parts = name.split("/")
    return len(name) <= 400 and all(
        _COMPONENT.fullmatch(part) and set(part) != {"."} for part in parts
    )


def check_names(names: Collection[str]) -> None:
    """Names come from the compiler, so a bad one is a fault there: raise ValueError."""
    for name in names:
        top = name.split("/", 1)[0]
        if not is_safe(name) or top in LEFT_BEHIND or name == NAME:
            raise ValueError(f"not a name for a file of a program: {name!r}")
        if any(str(parent) in names for parent in Path(name).parents):
            raise ValueError(f"a file and a folder at once: above {name!r}")


def make(files: Mapping[str, str], spec: str) -> Manifest:
    return Manifest(spec, {name: digest(text.encode()) for name, text in files.items()})


def read(folder: Path) -> Manifest | None:
    """The manifest of `folder`; None where there is none, or none that we could have written."""
    content = read_file(folder / NAME)
    if content is None:
        return None
    try:
        parsed = cast(object, json.loads(content))
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    fields = cast(dict[str, object], parsed)
    spec, files = fields.get("spec"), fields.get("files")
    if fields.get("format") != FORMAT or not isinstance(spec, str) or not isinstance(files, dict):
        return None
    digests = {
        name: value
        for name, value in cast(dict[str, object], files).items()
        if is_safe(name) and isinstance(value, str) and _DIGEST.fullmatch(value)
    }
    return Manifest(spec, digests)


def read_file(path: Path) -> bytes | None:
    """The content of a plain file; None for anything else. Follows no link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        if path.is_symlink() or not path.is_file():
            return None
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read()


def edited(folder: Path, old: Manifest | None, files: Mapping[str, str]) -> Iterator[EditedFile]:
    """Files of `folder` whose content would be lost by writing `files`, in order of name.

    A file is in danger when `files` replaces it or the old manifest gave it up, and it holds
    neither what we wrote last time nor what we are about to write.
    """
    known: Mapping[str, str] = {} if old is None else old.files
    for name in sorted({*known, *files}):
        content = read_file(folder / name)
        if content is None:
            continue
        new = files.get(name, "").encode()
        if known.get(name) != digest(content) and not (name in files and content == new):
            yield EditedFile(name, _diff(name, content, new))


def _diff(name: str, content: bytes, new: bytes) -> str:
    lines = difflib.unified_diff(
        content.decode("utf-8", "replace").splitlines(keepends=True),
        new.decode("utf-8", "replace").splitlines(keepends=True),
        f"{name} (as it is)",
        f"{name} (as it would be written)",
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
