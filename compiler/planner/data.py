"""The data fits the model, its documents can be told apart, and nothing that is read is missing."""

from __future__ import annotations

import math
from typing import assert_never

from compiler.data import form_of, separator_of, shares_of, sources_of
from compiler.planner.choices import Rows, as_suggestion, offer
from compiler.planner.context import Context
from compiler.problems.data import (
    LongRound,
    PromptNeedsText,
    SeparatorNeedsTokenizer,
    UnlikeSeparators,
    UnreadValidation,
    VocabTooSmall,
)
from compiler.problems.run import Undetermined
from compiler.schema.train import (
    Corpus,
    HfData,
    JsonlData,
    MegatronData,
    MixtureData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
)

LARGEST_BYTE = 255
MIXTURE = 'mixture { source web { weight = 1, data = text { train = "web" } } }'
VOCAB_STEP = 64
"""A vocabulary is suggested in multiples of this, which matrix products like."""
LONGEST_ROUND = 100_000
"""Sequences after which a mixture repeats: the program works one round out when it starts."""


def check_data(context: Context) -> None:
    train = context.spec.train
    for name, corpus in sources_of(train.data).items():
        _check_corpus(context, corpus, f"train.data.source.{name}.data" if name else "train.data")
    if isinstance(train.data, MixtureData):
        _check_mixture(context, train.data)
    prompt = train.eval is not None and train.eval.prompt is not None
    if prompt and form_of(train.data) != "text":
        context.problem(
            PromptNeedsText(
                span=context.span("train.eval.prompt"),
                choices=offer(context, {"train.eval.prompt": None}),
            )
        )


def _check_corpus(context: Context, corpus: Corpus, path: str) -> None:
    vocab, largest = context.spec.model.vocab, _largest_known(corpus)
    if largest >= vocab:
        context.problem(
            VocabTooSmall(
                span=context.span(path),
                largest=largest,
                vocab=vocab,
                choices=offer(context, {"model.vocab": _sufficient_vocab(context)}),
            )
        )
    if isinstance(corpus, TextData | JsonlData | ParquetData | HfData):
        _check_tokenizer(context, corpus, path)
    if context.spec.train.eval is None and corpus.validation is not None:
        rows: tuple[Rows, ...] = (
            {"train.eval": "eval { every = 100 steps }"},
            {f"{path}.validation": None},
        )
        choices = tuple(as_suggestion(context, row) for row in rows)
        context.problem(UnreadValidation(span=context.span(f"{path}.validation"), choices=choices))
    if context.spec.train.eval is not None and corpus.validation is None:
        context.problem(
            Undetermined(
                span=context.span(path),
                block="data",
                what="what is read for validation",
                missing="no `validation`",
                choices=offer(context, {f"{path}.validation": '"data/validation"'}),
            )
        )


def _sufficient_vocab(context: Context) -> int:
    """Rows of an embedding that holds the known tokens of all sources."""
    step = math.lcm(VOCAB_STEP, context.spec.tp)
    corpora = sources_of(context.spec.train.data).values()
    return (max(map(_largest_known, corpora)) // step + 1) * step


def _largest_known(corpus: Corpus) -> int:
    """The largest token that is sure to occur, from the spec alone."""
    match corpus:
        case TokenData(separator=separator) | MegatronData(separator=separator):
            return separator
        case TextData() | JsonlData() | ParquetData() | HfData():
            return LARGEST_BYTE if corpus.tokenizer is None else 0
        case ShardData():
            return 0
        case _:
            assert_never(corpus)


def _check_tokenizer(
    context: Context, corpus: TextData | JsonlData | ParquetData | HfData, path: str
) -> None:
    """A tokenizer and its separator belong together."""
    if corpus.tokenizer is not None and corpus.separator is None:
        context.problem(
            Undetermined(
                span=context.span(f"{path}.tokenizer"),
                block="data",
                what="which of the tokenizer's tokens ends a document",
                missing="no `separator`",
                choices=offer(context, {f"{path}.separator": '"<|endoftext|>"'}),
            )
        )
    if corpus.tokenizer is None and corpus.separator is not None:
        context.problem(
            SeparatorNeedsTokenizer(
                span=context.span(f"{path}.separator"),
                choices=offer(context, {f"{path}.separator": None}),
            )
        )


def _check_mixture(context: Context, mixture: MixtureData) -> None:
    if not mixture.source.items:
        context.problem(
            Undetermined(
                span=context.span("train.data"),
                block="mixture",
                what="what is mixed",
                missing="no `source NAME { ... }`",
                choices=(as_suggestion(context, {"train.data": MIXTURE}),),
            )
        )
        return
    for name, source in mixture.source.items:
        data = f"train.data.source.{name}.data"
        if source.data.train is None:
            context.problem(
                Undetermined(
                    span=context.span(data),
                    block=f"source {name}",
                    what="what is read",
                    missing="no `train`",
                    choices=offer(context, {f"{data}.train": '"data/train"'}),
                )
            )
    shares = shares_of(mixture)
    length = sum(share for _, share in shares)
    if length > LONGEST_ROUND:
        context.problem(
            LongRound(
                span=context.span("train.data"),
                shares=" + ".join(f"{share:,}" for _, share in shares),
                length=length,
                longest=LONGEST_ROUND,
                choices=offer(context, *(_rounded(mixture, digits) for digits in (3, 2, 1)))[:1],
            )
        )
    _check_separators(context, mixture)


def _rounded(mixture: MixtureData, digits: int) -> Rows:
    """The weights with so many digits after the point, none of them zero."""
    rounded = {
        name: max(round(source.weight, digits), 10**-digits)
        for name, source in mixture.source.items
    }
    return {
        f"train.data.source.{name}.weight": rounded[name]
        for name, source in mixture.source.items
        if source.weight != rounded[name]
    }


def _check_separators(context: Context, mixture: MixtureData) -> None:
    """As far as the spec tells; `llamac prepare` sees the rest."""
    known = [
        (name, separator)
        for name, source in mixture.source.items
        if (separator := separator_of(source.data)) is not None
    ]
    for name, separator in known[1:]:
        first, expected = known[0]
        if separator != expected:
            context.problem(
                UnlikeSeparators(
                    span=context.span(f"train.data.source.{name}.data"),
                    source=name,
                    separator=separator,
                    first=first,
                    expected=expected,
                    other_span=context.span(f"train.data.source.{first}.data"),
                )
            )
