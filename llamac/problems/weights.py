"""Models and weights of Hugging Face folders that do not match the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Problem, Severity


@dataclass(frozen=True, kw_only=True)
class CannotImport(Problem):
    """The config.json says something that a spec has no words for, so that a spec without it would
    describe another model. Nothing is left out in silence: every such key is listed.

    A key that only matters elsewhere (dropout in training, say, where you want none) may be left
    out by name; the spec that is written says so.
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
class BrokenWeights(Problem):
    """The folder of `init_from` contradicts itself, or the model: an index that names a shard which
    is not there, a new model.safetensors beside the index of an older save, a tensor of another
    shape than its config.json implies. The program would refuse it when it starts, on every rank.

    Tools choose differently among files that contradict each other, in silence; so nothing is
    chosen here. Remove the files of the older save, or save the weights again.
    """

    slug = "broken-weights"
    title: ClassVar[str] = "the weights of {folder} cannot be used"
    label: ClassVar[str] = "{why}"

    folder: str
    why: str


@dataclass(frozen=True, kw_only=True)
class OddWeights(BrokenWeights):
    """The folder of `init_from` can be used, but holds files or figures that do not fit the rest,
    as after a second save into the same folder. What is read is what its index names.
    """

    slug = "odd-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "the weights of {folder} may be of two saves"


@dataclass(frozen=True, kw_only=True)
class UncheckedWeights(Problem):
    """The folder of `init_from` is here, but its config.json does not tell which model its weights
    are of: it cannot be read, or says something that a spec cannot. So nothing is known of what the
    weights were trained in; the program itself only holds their names and shapes against its own.
    """

    slug = "unchecked-weights"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "cannot tell which model the weights of {folder} belong to"
    label: ClassVar[str] = "its config.json: {why}"

    folder: str
    why: str
