"""Data that the model or the run cannot use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem, Severity, Suggestion


@dataclass(frozen=True, kw_only=True)
class VocabTooSmall(Problem):
    """Text is read as bytes, one token a byte, so the model's vocabulary needs all 256 of them;
    a separator must be a token of the vocabulary.
    """

    slug = "vocab-too-small"
    title: ClassVar[str] = "the data has tokens that the model lacks"
    label: ClassVar[str] = "tokens up to {largest}, and the vocabulary has {vocab:,}"

    largest: int
    vocab: int
    choices: tuple[Suggestion, ...] = ()

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


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
    choices: tuple[Suggestion, ...]

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices


@dataclass(frozen=True, kw_only=True)
class UnreadValidation(Problem):
    """The data name what is to be read for validation, and the `train` block has no `eval` that
    reads it: the run would end without a validation loss.
    """

    slug = "unread-validation"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "nothing reads this `validation`"
    label: ClassVar[str] = "the run has no `eval`"

    choices: tuple[Suggestion, ...]

    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.choices
