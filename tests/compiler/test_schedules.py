"""Action tables are those of torch's own schedule objects.

GPipe and 1F1B are recorded as they run over stages that compute nothing (torch's list of their
order is a picture for people, and off by one for 1F1B); the interleaved order is what its runtime
executes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
import torch
from torch.distributed.pipelining import Schedule1F1B, ScheduleGPipe, ScheduleInterleaved1F1B
from torch.distributed.pipelining.schedules import REDUCE_GRAD, UNSHARD, PipelineScheduleSingle
from torch.distributed.pipelining.stage import _PipelineStageBase  # pyright: ignore[reportPrivateUsage]

from compiler.schedules import ScheduleKind, actions, gathers

MICROBATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 24, 32, 48)
SINGLE: dict[str, type[PipelineScheduleSingle]] = {
    "gpipe": ScheduleGPipe,
    "one_f_one_b": Schedule1F1B,
}


@dataclass
class Stage:
    """Stands where a PipelineStage would, and writes down what it is told to do."""

    stage_index: int
    num_stages: int
    group_size: int
    order: list[str] = field(default_factory=list[str])
    has_backward: bool = True

    @property
    def group_rank(self) -> int:
        return self.stage_index % self.group_size

    @property
    def is_first(self) -> bool:
        return self.stage_index == 0

    @property
    def is_last(self) -> bool:
        return self.stage_index == self.num_stages - 1

    def forward_one_chunk(self, index: int, *rest: object, **options: object) -> torch.Tensor:
        self.order.append(f"{self.stage_index}F{index}")
        return torch.zeros(())

    def backward_one_chunk(self, index: int, *rest: object, **options: object) -> None:
        self.order.append(f"{self.stage_index}B{index}")

    def get_fwd_recv_ops(self, index: int) -> list[object]:
        return []

    get_fwd_send_ops = get_bwd_recv_ops = get_bwd_send_ops = get_fwd_recv_ops

    def perform_reduce_grad(self, factor: int) -> None:
        pass


def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return output


def nothing(*_: object) -> None:
    pass


def as_stage(stage: Stage) -> _PipelineStageBase:
    return cast("_PipelineStageBase", stage)


def executed(
    kind: str, rank: int, ranks: int, microbatches: int, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What torch's schedule really does on one rank."""
    stage = Stage(rank, ranks, ranks)
    schedule = SINGLE[kind](as_stage(stage), microbatches, loss_fn=loss)
    monkeypatch.setattr(schedule, "_initialize_stage", nothing)  # stages would exchange shapes
    empty = [()] * microbatches
    targets = [torch.zeros(())] * microbatches
    run = cast("Callable[..., None]", getattr(schedule, "_step_microbatches"))  # noqa: B009  private
    run(empty, [{}] * microbatches, targets)
    return stage.order


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 6, 7, 8, 12, 16])
@pytest.mark.parametrize("kind", ["gpipe", "one_f_one_b"])
def test_one_stage_a_rank(kind: ScheduleKind, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    legal = [m for m in MICROBATCHES if kind == "gpipe" or m >= ranks]
    for microbatches in legal:
        table = actions(kind, ranks, 1, microbatches)
        for rank in range(ranks):
            wanted = executed(kind, rank, ranks, microbatches, monkeypatch)
            assert [str(action) for action in table[rank]] == wanted


def test_torch_refuses_1f1b_with_fewer_microbatches_than_stages() -> None:
    with pytest.raises(ValueError, match="Number of microbatches"):
        Schedule1F1B(as_stage(Stage(0, 4, 4)), 3, loss_fn=loss)


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 6, 8, 12, 16])
@pytest.mark.parametrize("chunks", [2, 3, 4, 5, 6, 8])
def test_interleaved(ranks: int, chunks: int) -> None:
    for microbatches in MICROBATCHES:
        if microbatches % max(1, microbatches // ranks):
            continue  # torch refuses these, and so does the planner
        stages = [as_stage(Stage(chunk * ranks, ranks * chunks, ranks)) for chunk in range(chunks)]
        order = ScheduleInterleaved1F1B(stages, microbatches, loss_fn=loss).pipeline_order
        table = actions("interleaved", ranks, chunks, microbatches)
        for rank in range(ranks):
            wanted = [
                f"{action.stage_index}{action.computation_type.value}{action.microbatch_index}"
                for action in order[rank]
                if action is not None and action.computation_type is not REDUCE_GRAD
            ]
            assert [str(action) for action in table[rank]] == wanted


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
@pytest.mark.parametrize("chunks", [2, 3, 4, 8])
def test_gathers_are_those_of_torchs_runtime(ranks: int, chunks: int) -> None:
    """Torch adds UNSHARD and RESHARD to a rank's order when the schedule is made."""
    for microbatches in (1, 3, 4, 8, 12, 16):
        if microbatches % max(1, microbatches // ranks):
            continue
        stages = [as_stage(Stage(c * ranks, ranks * chunks, ranks)) for c in range(chunks)]
        schedule = ScheduleInterleaved1F1B(stages, microbatches, loss_fn=loss)
        table = actions("interleaved", ranks, chunks, microbatches)
        for rank in range(ranks):
            lowered = schedule.pipeline_order_with_comms[rank]
            wanted = Counter(a.stage_index for a in lowered if a.computation_type is UNSHARD)
            assert gathers(table[rank]) == dict(wanted)
