"""Models and weights of Hugging Face folders that do not match the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem, Severity


@dataclass(frozen=True, kw_only=True)
class CannotImport(Problem):
    """The config.json has a setting that a spec cannot express, so a spec without it would describe
    another model. Every such key is reported; none is dropped silently.

    `--ignore KEY` leaves out a key that does not matter to you (dropout in training, for example,
    if you want none); a comment in the spec records it.
    """

    slug = "cannot-import"
    title: ClassVar[str] = "`{key} = {value}` has no equivalent in a spec"
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
    """The Hugging Face architectures that llamac can write (Llama, Mistral, Qwen3, Gemma 2) leave
    only a few numbers open, and none of them computes this model. The notes list what the nearest
    one would compute differently. An export in that form would load, and give wrong answers.
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
    """According to its config.json, the folder of `init_from` does not hold the tensors of this
    model: names or shapes differ. The program would refuse it when it starts.

    `llamac import` prints the spec of the folder's own model.
    """

    slug = "other-weights"
    title: ClassVar[str] = "the weights in {folder} do not fit this model"
    label: ClassVar[str] = "its config.json describes another model"

    folder: str
    rows: tuple[str, ...]

    def notes(self) -> tuple[str, ...]:
        return self.rows

    def helps(self) -> tuple[str, ...]:
        return (f"`llamac import {self.folder}` prints the model that they belong to",)


@dataclass(frozen=True, kw_only=True)
class WeightsOfAVariant(OtherWeights):
    """The folder's weights fit the model, but they were trained in a model that computes something
    else with them. That may be intended (another RoPE for a longer context, for example). Training
    starts, at a higher loss than the weights had.
    """

    slug = "other-meaning"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "the weights in {folder} come from a model that computes something else"


@dataclass(frozen=True, kw_only=True)
class BrokenWeights(Problem):
    """The folder of `init_from` contradicts itself or the model: its index names a shard that is
    missing, a new model.safetensors lies beside the index of an older save, or a tensor has another
    shape than config.json implies. The program would refuse it when it starts, on every rank.

    Tools silently choose different files in such a folder, so llamac chooses none. Remove the files
    of the older save, or save the weights again.
    """

    slug = "broken-weights"
    title: ClassVar[str] = "the weights in {folder} cannot be used"
    label: ClassVar[str] = "{why}"

    folder: str
    why: str


@dataclass(frozen=True, kw_only=True)
class OddWeights(BrokenWeights):
    """The folder of `init_from` can be used, but some of its files or sizes do not fit the rest, as
    after a second save into the same folder. llamac reads the files that its index names.
    """

    slug = "odd-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "the weights in {folder} may come from two saves"


@dataclass(frozen=True, kw_only=True)
class UncheckedWeights(Problem):
    """The folder of `init_from` is on this machine, but its config.json does not tell which model
    the weights belong to: it cannot be read, or a spec cannot express it. So only names and shapes
    are checked, by the program when it starts, and not what the weights were trained to compute.
    """

    slug = "unchecked-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "cannot tell which model the weights in {folder} belong to"
    label: ClassVar[str] = "its config.json: {why}"

    folder: str
    why: str
