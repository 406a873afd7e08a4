"""Data that the model or the run cannot use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction
from dsl.diagnostics import Problem, Severity


@dataclass(frozen=True, kw_only=True)
class VocabTooSmall(Problem):
    """Text is read as bytes, one token a byte, so the model's vocabulary needs all 256 of them;
    a separator must be a token of the vocabulary.
    """

    slug = "vocab-too-small"
    title: ClassVar[str] = "the data has tokens that the model does not have"
    label: ClassVar[str] = "tokens up to {largest}, and the vocabulary has {vocab:,}"

    largest: int
    vocab: int


@dataclass(frozen=True, kw_only=True)
class LongRound(Problem):
    """A mixture takes sequences from its sources in rounds, in which each source has a whole
    number of turns: weights of 0.7 and 0.3 make rounds of 7 + 3. Weights with many digits make
    long rounds, and the program works out one whole round when it starts.
    """

    slug = "long-round"
    title: ClassVar[str] = "the weights of the mixture have no short round"
    label: ClassVar[str] = "{shares} = {length:,} sequences, and {longest:,} are the most"

    shares: str
    length: int
    longest: int


@dataclass(frozen=True, kw_only=True)
class UnreadValidation(Problem):
    """The data name what is to be read for validation, and the `train` block has no `eval` that
    reads it: the run would end without a validation loss.
    """

    slug = "unread-validation"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "nothing reads this `validation`"
    label: ClassVar[str] = "the run has no `eval`"


@dataclass(frozen=True, kw_only=True)
class PromptNeedsText(Contradiction):
    """The prompt of `eval` is text. A program that reads tokens has no tokenizer, so it cannot
    encode a prompt or decode what follows; only text that is read as bytes can be continued.
    """

    slug = "prompt-needs-text"
    title: ClassVar[str] = "a prompt is text, but the program reads tokens"
    label: ClassVar[str] = "only `data = text {{ ... }}` without a tokenizer is read as text"


@dataclass(frozen=True, kw_only=True)
class SeparatorNeedsTokenizer(Contradiction):
    """`separator` names the token of a tokenizer that ends each document. Text without a tokenizer
    is read as bytes, and byte 0 ends a document.
    """

    slug = "separator-needs-tokenizer"
    title: ClassVar[str] = "a separator is a token of a tokenizer, but there is none"
    label: ClassVar[str] = "text without a tokenizer is read as bytes, and byte 0 ends a document"


@dataclass(frozen=True, kw_only=True)
class UnlikeSeparators(Contradiction):
    """All sources of a mixture share one vocabulary, so one token must end the documents of all of
    them. Another token would be trained on as text, and its documents would run into each other.
    """

    slug = "unlike-separators"
    title: ClassVar[str] = "the sources end their documents with different tokens"
    label: ClassVar[str] = "token {separator:,} in `{source}`"
    other: ClassVar[str] = "token {expected:,} in `{first}`"

    source: str
    separator: int
    first: str
    expected: int
