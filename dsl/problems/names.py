"""Names that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Fix, Problem
from dsl.problems.helps import rename


@dataclass(frozen=True, kw_only=True)
class Unknown(Problem):
    """Base of the errors about a name nobody knows."""

    label: ClassVar[str] = "{remark}"

    name: str
    suggestion: str | None = None
    known: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        return "" if self.suggestion is None else f"did you mean `{self.suggestion}`?"

    def facts(self) -> dict[str, object]:
        return {**super().facts(), "remark": self.remark}

    def helps(self) -> tuple[str, ...]:
        if self.suggestion is not None or not self.known:
            return ()
        return ("known here: " + ", ".join(f"`{name}`" for name in self.known[:12]),)

    def fixes(self) -> tuple[Fix, ...]:
        return rename(self.span, self.name, self.suggestion)


@dataclass(frozen=True, kw_only=True)
class UnknownBlock(Unknown):
    """A file holds blocks of a few kinds: model, cluster, train, plan and sweep."""

    slug: ClassVar[str] = "unknown-block"
    title: ClassVar[str] = "there is no block of the kind `{name}`"


@dataclass(frozen=True, kw_only=True)
class UnknownField(Unknown):
    """A body sets a field that its block or component does not have.

    The fields of each block and component are listed in the language reference.
    """

    slug: ClassVar[str] = "unknown-field"
    title: ClassVar[str] = "`{entry}` has no field `{name}`"

    entry: str


@dataclass(frozen=True, kw_only=True)
class UnknownName(Unknown):
    """An expression or reference uses a name that nothing here defines.

    Names are looked up in the fields of the block they stand in, then in those of the enclosing
    blocks, then among the file's `let`s, blocks and imports.
    """

    slug: ClassVar[str] = "unknown-name"
    title: ClassVar[str] = "nothing here is called `{name}`"


@dataclass(frozen=True, kw_only=True)
class UnknownImport(Unknown):
    """A dotted name starts with an import, but the imported file has no such name."""

    slug: ClassVar[str] = "unknown-import"
    title: ClassVar[str] = "`{file}` does not define `{name}`"

    file: str


@dataclass(frozen=True, kw_only=True)
class UnknownComponent(Unknown):
    """A field takes one of a few components, and this is none of them."""

    slug: ClassVar[str] = "unknown-component"
    title: ClassVar[str] = "`{field}` cannot be `{name}`"

    field: str


@dataclass(frozen=True, kw_only=True)
class WrongWord(Unknown):
    """A field takes one of a few words, and this is none of them."""

    slug: ClassVar[str] = "wrong-word"
    title: ClassVar[str] = "`{field}` cannot be `{name}`"

    field: str
