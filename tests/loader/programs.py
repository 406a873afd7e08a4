"""data.py as it is printed, imported as one rank of a layout would, and all ranks put together."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from backends.emit import emit
from tests.programs.support import compiled

CPU = torch.device("cpu")
IGNORE = -1
Row = tuple[int, ...]


class _Numbers(Protocol):
    def tolist(self) -> list[int]: ...


class _Table(Protocol):
    def tolist(self) -> list[list[int]]: ...


def numbers(tensor: Tensor) -> list[int]:
    return cast("_Numbers", tensor).tolist()


def table(tensor: Tensor) -> list[list[int]]:
    return cast("_Table", tensor).tolist()


class Batch(Protocol):
    tokens: Tensor
    targets: Tensor
    documents: Tensor
    key_documents: Tensor  # with context parallelism only


class Corpus(Protocol):
    def read(self, first: int, last: int) -> Tensor: ...
    def fingerprint(self) -> str: ...


class Loader(Protocol):
    """The names of a program's data.py that are used here."""

    DataError: type[Exception]

    def Corpus(self, path: str) -> Corpus: ...
    def step_batches(
        self, corpus: Corpus, position: int, device: torch.device
    ) -> Sequence[Batch]: ...
    def evaluation_batches(self, corpus: Corpus, device: torch.device) -> Sequence[Batch]: ...
    def next_position(self, position: int) -> int: ...


Kind = Literal["fsdp", "hybrid", "cp"]
AXES: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "fsdp": (("tp", "1"), ("dp", "4")),
    "hybrid": (("tp", "1"), ("dp", "4"), ("fsdp", "2")),
    "cp": (("tp", "1"), ("dp", "2"), ("cp", "2")),
}
DATA: Mapping[str, str] = {
    "text": 'text { train = "train", validation = "validation" }',
    "tokens": 'tokens { train = "train", validation = "validation", separator = 0 }',
    "megatron": 'megatron { train = "train", validation = "validation", separator = 0 }',
    "shards": 'shards { train = "train", validation = "validation" }',
    "mixture": """mixture {
      source web { data = shards { train = "web", validation = "w" }, weight = 7 },
      source code { data = shards { train = "code", validation = "c" }, weight = 3 }
    }""",
}


@dataclass(frozen=True)
class Layout:
    """How the rows of a step are dealt out. With `cp`, `fsdp` is left to the mesh: 1 here."""

    kind: Kind = "fsdp"
    replicate: int = 1
    fsdp: int = 1
    cp: int = 1
    microbatch: int = 1
    microbatches: int = 1

    @property
    def dp(self) -> int:
        return self.replicate * self.fsdp

    @property
    def global_batch(self) -> int:
        return self.dp * self.microbatch * self.microbatches

    @property
    def world(self) -> int:
        return self.dp * self.cp


@cache
def text_of(data: str, kind: Kind = "fsdp", packed: bool = True, evaluates: bool = False) -> str:
    """The printed module; its numbers stand in config.py, which is the caller's."""
    packing = (("train.packing", "documents" if packed else "concatenate"),)
    form = (("train.data", DATA[data]), ("train.eval.prompt", "none"))
    unwatched = () if evaluates else (("train.eval", "none"),)
    return emit(compiled(*AXES[kind], *form, *packing, *unwatched)).files["data.py"]


@cache
def code_of(text: str) -> CodeType:
    return compile(text, "data.py", "exec")


def imported(text: str, values: Mapping[str, object], coordinates: Mapping[str, int]) -> Loader:
    """The module of the rank at these coordinates, with these constants in config.py."""
    config, parallel, module = ModuleType("config"), ModuleType("parallel"), ModuleType("data")
    vars(config).update(values)
    vars(parallel)["coordinate"] = coordinates.__getitem__
    vars(parallel)["log"] = logging.getLogger("train")
    fake = {"config": config, "parallel": parallel, "data": module}
    before = {name: sys.modules.get(name) for name in fake}
    sys.modules.update(fake)
    try:
        exec(code_of(text), vars(module))
    finally:
        for name, old in before.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old
    return cast("Loader", module)


@dataclass(frozen=True)
class Setting:
    """What does not depend on the layout: the form of the data and the numbers of the run."""

    data: str
    seq_len: int
    seed: int = 3
    vocab: int = 2**31
    packed: bool = True
    evaluates: bool = False
    more: tuple[tuple[str, object], ...] = ()

    def values(self, layout: Layout) -> dict[str, object]:
        return {
            "SEQ_LEN": self.seq_len,
            "GLOBAL_BATCH": layout.global_batch,
            "MICROBATCH": layout.microbatch,
            "MICROBATCHES": layout.microbatches,
            "FSDP": layout.fsdp,
            "CP": layout.cp,
            "SEED": self.seed,
            "SEPARATOR": 0,
            "TOKEN_DTYPE": "uint32",
            "VOCAB": self.vocab,
            **dict(self.more),
        }

    def rank(self, layout: Layout, dp: int = 0, cp: int = 0) -> Loader:
        replicate, fsdp = divmod(dp, layout.fsdp)
        coordinates = {"replicate": replicate, "fsdp": fsdp, "dp": dp, "cp": cp}
        text = text_of(self.data, layout.kind, self.packed, self.evaluates)
        return imported(text, self.values(layout), coordinates)

    def one(self) -> Loader:
        """The module of a run on one process, a sequence a step."""
        return self.rank(Layout())


@dataclass(frozen=True)
class Sequences:
    """One row a sequence: tokens, targets and numbers of documents, all [seq_len]."""

    tokens: list[Row]
    targets: list[Row]
    documents: list[Row]


class World:
    """All ranks of a layout, each with the corpus open."""

    def __init__(self, setting: Setting, layout: Layout, path: Path) -> None:
        self.setting, self.layout = setting, layout
        self.ranks = {
            (dp, cp): setting.rank(layout, dp, cp)
            for dp in range(layout.dp)
            for cp in range(layout.cp)
        }
        self.corpora = {at: rank.Corpus(str(path)) for at, rank in self.ranks.items()}

    def step(self, position: int) -> Sequences:
        """What all ranks read in the step that begins there, whole sequences again."""
        read = {
            at: rank.step_batches(self.corpora[at], position, CPU)
            for at, rank in self.ranks.items()
        }
        assert {len(batches) for batches in read.values()} == {self.layout.microbatches}
        whole = Sequences([], [], [])
        for dp in range(self.layout.dp):
            for i in range(self.layout.microbatches):
                parts = [read[dp, cp][i] for cp in range(self.layout.cp)]
                whole.tokens.extend(self.rows([part.tokens for part in parts]))
                whole.targets.extend(self.rows([part.targets for part in parts]))
                whole.documents.extend(self.rows([part.documents for part in parts]))
        return whole

    def rows(self, parts: Sequence[Tensor]) -> Iterator[Row]:
        """Of a microbatch, of which rank r of cp has the pieces r and 2 cp - 1 - r."""
        assert {len(part) for part in parts} == {self.layout.microbatch}
        for row in zip(*(table(part) for part in parts), strict=True):
            yield joined(row) if self.layout.cp > 1 else tuple(row[0])

    def next_position(self, position: int) -> int:
        (found,) = {rank.next_position(position) for rank in self.ranks.values()}
        return found


def joined(held: Sequence[Sequence[int]]) -> Row:
    """A sequence from the halves that each rank of cp holds: a piece of its front, one of its
    back."""
    half = len(held[0]) // 2
    front = [token for part in held for token in part[:half]]
    back = [token for part in reversed(held) for token in part[half:]]
    return (*front, *back)
