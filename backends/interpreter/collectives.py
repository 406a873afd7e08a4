"""The named pairs over tensors [ranks, ...]: all ranks of all groups at once.

Each applies the backward that the pair declares, whatever torch would derive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from backends.interpreter.groups import Groups
from compiler.rank_program import Pair

Move = Callable[[Tensor], Tensor]


class _Declared(torch.autograd.Function):
    """forward(x), with `backward` in place of its derivative."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, forward: Move, backward: Move) -> Tensor:
        setattr(ctx, "move_back", backward)  # noqa: B010  the context is an open namespace
        return forward(x)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        move_back: Move = getattr(ctx, "move_back")  # noqa: B009
        return move_back(gradients[0]), None, None


def _declared(x: Tensor, forward: Move, backward: Move) -> Tensor:
    apply = _Declared.apply  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped in torch
    return cast(Tensor, apply(x, forward, backward))


def gather(x: Tensor, groups: Groups, dim: int) -> Tensor:
    """Every rank gets its group's parts, side by side along `dim` (counted with the ranks)."""
    parts = x[groups.members].movedim(1, dim)
    return parts.flatten(dim, dim + 1)[groups.group]


def scatter_sum(x: Tensor, groups: Groups, dim: int) -> Tensor:
    """Every rank gets its part along `dim` of its group's sum."""
    parts = torch.unflatten(x[groups.members].sum(1), dim, (groups.size, -1)).movedim(dim, 1)
    return parts[groups.group, groups.position]


def total(x: Tensor, groups: Groups) -> Tensor:
    return x[groups.members].sum(1)[groups.group]


def largest(x: Tensor, groups: Groups) -> Tensor:
    return x[groups.members].amax(1)[groups.group]


def collective(
    pair: Pair, inputs: tuple[Tensor, ...], groups: Groups, dim: int
) -> tuple[Tensor, ...]:
    """The outputs [ranks, ...] of the pair's forward; `dim` counts the leading dimension of
    ranks."""
    made = _moved(pair, inputs[0], groups, dim)
    return (made,)


def _moved(pair: Pair, x: Tensor, groups: Groups, dim: int) -> Tensor:
    match pair:
        case "all_gather":
            return _declared(
                x, lambda x: gather(x, groups, dim), lambda g: scatter_sum(g, groups, dim)
            )
        case "reduce_scatter":
            return _declared(
                x, lambda x: scatter_sum(x, groups, dim), lambda g: gather(g, groups, dim)
            )
        case "all_reduce":
            return _declared(x, lambda x: total(x, groups), lambda g: g)
        case "all_reduce_max":
            return largest(x.detach(), groups)
        case _:
            assert_never(pair)
