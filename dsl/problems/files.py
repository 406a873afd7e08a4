"""Files that cannot be read, and imports that lead astray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem
from dsl.problems.names import Unknown


@dataclass(frozen=True, kw_only=True)
class FileMissing(Problem):
    """The file to read, as the command names it, is not there, or cannot be read.

    Paths are relative to the current directory; `std/...` names a file of the compiler's own.
    """

    slug: ClassVar[str] = "file-missing"
    title: ClassVar[str] = "cannot read `{file}`: {reason}"

    file: str
    reason: str
    suggestion: str | None = None

    def helps(self) -> tuple[str, ...]:
        return () if self.suggestion is None else (f"did you mean `{self.suggestion}`?",)


@dataclass(frozen=True, kw_only=True)
class ImportMissing(Unknown):
    """An imported file is not there, or cannot be read.

    `std/...` files come with the compiler; all others are looked up beside the importing file.
    """

    slug: ClassVar[str] = "import-missing"
    title: ClassVar[str] = "cannot read `{file}`: {reason}"

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ImportOutside(Problem):
    """An import leads out of the project's folder.

    Files come from the folder of the spec and below, and from `std/`; nowhere else, so that a
    spec means the same on every machine.
    """

    slug: ClassVar[str] = "import-outside"
    title: ClassVar[str] = "`{file}` is outside the project"
    label: ClassVar[str] = "imports cannot leave the project's folder"

    file: str


@dataclass(frozen=True, kw_only=True)
class ImportCycle(Problem):
    """Files import each other in a circle."""

    slug: ClassVar[str] = "import-cycle"
    title: ClassVar[str] = "this import leads back to its own file"
    label: ClassVar[str] = "{chain}"

    chain: str

    def helps(self) -> tuple[str, ...]:
        return ("remove this import; what several files need, a file that imports none can hold",)
