"""Rows of a `plan` block: a model, a cluster, a training run, and how it is parallelised."""

from __future__ import annotations

from typing import Literal

from compiler.schema.cluster import ClusterSpec
from compiler.schema.model import ModelSpec
from compiler.schema.train import TrainSpec
from dsl.schema import AUTO, Auto, Effect, Named, entry, row

MAPPING = Effect.MAPPING
_CHEAP = "[swiglu, rms_norm]"
_OPERATORS = ("attention", "geglu", "linear", "rms_norm", "rope", "swiglu")
RECOMPUTED = (
    *((word, _CHEAP) for word in ("selective", "selective_op", "op", "sac")),
    *((name, f"[{name}]") for name in _OPERATORS),
)
"""Words for which a list may be meant: an operator, or what Megatron and torchtitan call selective,
which keeps the matrix products and computes the cheap operators again."""
Axis = Literal["tp", "cp", "pp", "ep", "etp", "dp"]


@entry("gpipe")
class Gpipe:
    """All forwards, then all backwards."""


@entry("one_f_one_b")
class OneFOneB:
    """One forward, one backward, in turn."""


@entry("interleaved")
class Interleaved:
    chunks: int = row("virtual stages per rank", effect=MAPPING, minimum=2)


Schedule = Gpipe | OneFOneB | Interleaved


@entry("by_stage")
class ByStage:
    """Each pipeline rank recomputes in its own way, in all of its virtual stages."""

    stages: tuple[Literal["none", "full"] | tuple[str, ...], ...] = row(
        "one entry a pipeline rank, the first stage's first", effect=MAPPING, positional=True
    )


@entry("phase")
class PlanPhase:
    """How the plan spreads one phase; rows left out are the plan's own."""

    dp: int | None = row("data-parallel ranks", effect=MAPPING, default=None, minimum=1)
    fsdp: int | None = row("ranks of one copy", effect=MAPPING, default=None, minimum=1)
    tp: int | None = row("tensor-parallel ranks", effect=MAPPING, default=None, minimum=1)
    cp: int | None = row("context-parallel ranks", effect=MAPPING, default=None, minimum=1)
    pp: int | None = row("pipeline ranks", effect=MAPPING, default=None, minimum=1)
    stages: tuple[int, ...] | None = row(
        "layers of each stage", effect=MAPPING, default=None, minimum=0
    )
    schedule: Schedule | None = row("pipeline schedule", effect=MAPPING, default=None)
    microbatch: int | None = row(
        "sequences of one forward", effect=MAPPING, words=("sequences",), default=None, minimum=1
    )
    recompute: Literal["none", "full"] | tuple[str, ...] | ByStage | None = row(
        "what the backward computes again",
        effect=MAPPING,
        default=None,
        distinct=True,
        instead=RECOMPUTED,
    )


@entry("plan")
class PlanSpec:
    model: ModelSpec = row("what is trained", effect=Effect.MEANING)
    cluster: ClusterSpec = row("on what", effect=MAPPING)
    train: TrainSpec = row("how long, on which data", effect=Effect.MEANING)
    dp: int | Auto = row("data-parallel ranks", effect=MAPPING, default=AUTO, minimum=1)
    fsdp: int | Auto = row(
        "ranks of dp x cp that share one copy of the state; 1 replicates it",
        effect=MAPPING,
        default=AUTO,
        minimum=1,
    )
    tp: int = row("tensor-parallel ranks", effect=MAPPING, default=1, minimum=1)
    cp: int = row("context-parallel ranks", effect=MAPPING, default=1, minimum=1)
    pp: int = row("pipeline ranks", effect=MAPPING, default=1, minimum=1)
    ep: int = row("expert-parallel ranks", effect=MAPPING, default=1, minimum=1, pending=True)
    etp: int | Auto = row(
        "tensor-parallel ranks of experts", effect=MAPPING, default=AUTO, pending=True
    )
    order: tuple[Axis, ...] | Auto = row(
        "axes, innermost first", effect=MAPPING, default=AUTO, distinct=True
    )
    stages: tuple[int, ...] | Auto = row(
        "layers of each virtual stage", effect=MAPPING, default=AUTO, minimum=0
    )
    schedule: Schedule = row("pipeline schedule", effect=MAPPING, default=OneFOneB())
    microbatch: int | Auto = row(
        "sequences of one forward", effect=MAPPING, words=("sequences",), default=AUTO, minimum=1
    )
    recompute: Literal["none", "full"] | tuple[str, ...] | ByStage | Auto = row(
        "what the backward computes again",
        effect=MAPPING,
        default="none",
        distinct=True,
        instead=RECOMPUTED,
    )
    sharding: Literal["none", "zero1", "zero2", "zero3"] | Auto = row(
        "what fsdp cuts", effect=MAPPING, default=AUTO
    )
    compile: bool | Auto = row(
        "torch.compile each layer; auto: on CUDA only", effect=MAPPING, default=AUTO
    )
    phase: Named[PlanPhase] = row("refinement by phase", effect=MAPPING, default=Named())
