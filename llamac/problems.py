"""Errors of the face: what is right in a spec and wrong here, with these files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem, Severity
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class WorldDoesNotFit(Problem):
    """`run` starts every process of a plan on this machine, one a device, so the plan's cluster
    must be one node of what this machine has. CPU processes may share cores, within reason: they
    take turns, and beyond a few a core nothing is learnt sooner.

    Compile the plan and start it on its cluster instead, or run a plan for one node.
    """

    slug = "world-does-not-fit"
    title: ClassVar[str] = "this machine cannot hold the plan's {world:,} processes"
    label: ClassVar[str] = "{wanted}, and this machine has {present}"

    world: int
    wanted: str
    present: str

    def helps(self) -> tuple[str, ...]:
        return (
            "`llamac compile` writes the program for its cluster, with scripts that start it",
            "run a plan whose cluster is `node = hw.cpu { devices = 4 }`",
        )


@dataclass(frozen=True, kw_only=True)
class CannotImport(Problem):
    """The config.json says something that a spec has no words for, so that a spec without it would
    describe another model. Nothing is left out in silence: every such key is listed.

    A key that only matters elsewhere (dropout in training, say, where you want none) may be left
    out by name; the spec that is written says so.
    """

    slug = "cannot-import"
    title: ClassVar[str] = "no spec can say `{key} = {value}`"
    label: ClassVar[str] = "{why}"

    key: str
    value: str
    why: str
    may_ignore: bool

    def helps(self) -> tuple[str, ...]:
        return (f"`--ignore {self.key}` leaves it out",) if self.may_ignore else ()


@dataclass(frozen=True, kw_only=True)
class NotAConfig(Problem):
    """The file is not the config.json of a Hugging Face model: a JSON object with `model_type`."""

    slug = "not-a-config"
    title: ClassVar[str] = "this is not the config.json of a model"
    label: ClassVar[str] = "{why}"

    why: str


@dataclass(frozen=True, kw_only=True)
class NoArchitecture(Problem):
    """The Hugging Face architectures that llamac knows (Llama, Mistral, Qwen3, Gemma 2) are fixed
    in what they compute beside a few numbers, and none of them computes this model. The notes say
    what the nearest one would do otherwise. A folder of it would load, and answer something else.
    """

    slug = "no-architecture"
    title: ClassVar[str] = "no Hugging Face architecture computes this model"
    label: ClassVar[str] = "the nearest is {architecture}"

    architecture: str
    lost: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        return self.lost


@dataclass(frozen=True, kw_only=True)
class OtherWeights(Problem):
    """The folder of `init_from` holds other tensors than the model has: other names, or other
    shapes, as its config.json tells. The program would refuse it when it starts.

    `llamac import` makes a spec of the folder's own model.
    """

    slug = "other-weights"
    title: ClassVar[str] = "the weights of {folder} are not those of this model"
    label: ClassVar[str] = "its config.json describes another model"

    folder: str
    rows: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        return self.rows

    def helps(self) -> tuple[str, ...]:
        return (f"`llamac import {self.folder}` prints the model that they are of",)


@dataclass(frozen=True, kw_only=True)
class OtherMeaning(OtherWeights):
    """The folder's weights fit into the model, but they were trained in one that computes something
    else with them. That may be what is wanted (a longer context by another RoPE, say): training
    starts, from a loss that is higher than it need be.
    """

    slug = "other-meaning"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "the weights of {folder} were trained in a model that computes otherwise"


@dataclass(frozen=True, kw_only=True)
class UncheckedWeights(Problem):
    """The folder of `init_from` is here, but its config.json does not tell which model its weights
    are of: it cannot be read, or says something that a spec cannot. So nothing is known of what the
    weights were trained in; the program itself only holds their names and shapes against its own.
    """

    slug = "unchecked-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "which model the weights of {folder} are of is not known"
    label: ClassVar[str] = "its config.json: {why}"

    folder: str
    why: str


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
