"""Data that cannot be prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class UnusableData(Problem):
    """`llamac prepare` cannot make tokens of a file that the spec names: it is missing, damaged, or
    not of the form that the spec says. Nothing is skipped silently, since data that is not trained
    on is hard to miss afterwards. Shards that were finished before are kept.
    """

    slug = "unusable-data"
    title: ClassVar[str] = "`{place}` cannot be used"
    label: ClassVar[str] = "{why}"

    place: str
    why: str
    help: str = ""

    def helps(self) -> tuple[str, ...]:
        return (self.help,) if self.help else ()


@dataclass(frozen=True, kw_only=True)
class TokenizerTooLarge(Problem):
    """A tokenizer makes tokens that the model has no row of the embedding for. `vocab` of the model
    must be at least the tokenizer's; more rows, such as a multiple of 128, do no harm.
    """

    slug = "tokenizer-too-large"
    title: ClassVar[str] = "the data has tokens that the model lacks"
    label: ClassVar[str] = "tokens up to {largest:,}, and the vocabulary has {vocab:,}"

    largest: int
    vocab: int
    vocab_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return (
            () if self.vocab_span is None else (Label(self.vocab_span, f"{self.vocab:,} tokens"),)
        )

    def helps(self) -> tuple[str, ...]:
        return (f"write `vocab = {self.largest + 1}`",)


@dataclass(frozen=True, kw_only=True)
class MixedTokenizers(Problem):
    """All sources of a mixture must mean the same by a token: they are made with one tokenizer, and
    end their documents with one token.
    """

    slug = "mixed-tokenizers"
    title: ClassVar[str] = "the sources of the mixture have different tokens"
    label: ClassVar[str] = "{found}"

    found: str
    expected: str
    other_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.expected),)


@dataclass(frozen=True, kw_only=True)
class TooLittleData(Problem):
    """A sequence is `seq_len` tokens and the token after them. A corpus, or a source of a mixture,
    must hold one at least.
    """

    slug = "too-little-data"
    title: ClassVar[str] = "there is less text than one sequence takes"
    label: ClassVar[str] = "{tokens:,} tokens, and one sequence takes {needed:,}"

    tokens: int
    needed: int


@dataclass(frozen=True, kw_only=True)
class MissingLibrary(Problem):
    """Some formats are read with packages that llamac does without otherwise. `llamac[data]` has
    them all.
    """

    slug = "missing-library"
    title: ClassVar[str] = "the package `{package}` is not installed"
    label: ClassVar[str] = "it reads {what}"

    what: str
    package: str

    def helps(self) -> tuple[str, ...]:
        return ("install `llamac[data]`",)
