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
from compiler.pairs import Pair

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


def own_part(x: Tensor, groups: Groups, dim: int) -> Tensor:
    """Every rank keeps its part along `dim` of what it holds."""
    parts = torch.unflatten(x, dim, (groups.size, -1)).movedim(dim, 1)
    return parts[torch.arange(len(x)), groups.position]


def padded(x: Tensor, groups: Groups, dim: int) -> Tensor:
    """Every rank holds its part in its place along `dim`, and zeros elsewhere."""
    parts = x.new_zeros(len(x), groups.size, *x.shape[1:])
    parts[torch.arange(len(x)), groups.position] = x
    return parts.movedim(1, dim).flatten(dim, dim + 1)


def exchange(x: Tensor, groups: Groups, gathered: int, scattered: int) -> Tensor:
    """Every rank sends each peer its part along `scattered`, and gathers along `gathered`."""
    return own_part(gather(x, groups, gathered), groups, scattered)


def collective(
    pair: Pair, inputs: tuple[Tensor, ...], groups: Groups, dim: int = 0, to_dim: int = 0
) -> tuple[Tensor, ...]:
    """The outputs [ranks, ...] of the pair's forward; `dim` and `to_dim` count the leading
    dimension of ranks."""
    made = _moved(pair, inputs[0], groups, dim, to_dim)
    return (made,)


def _moved(pair: Pair, x: Tensor, groups: Groups, dim: int, to_dim: int) -> Tensor:
    match pair:
        case "all_gather":
            return _declared(
                x, lambda x: gather(x, groups, dim), lambda g: scatter_sum(g, groups, dim)
            )
        case "all_gather_invariant":
            return _declared(
                x, lambda x: gather(x, groups, dim), lambda g: own_part(g, groups, dim)
            )
        case "reduce_scatter":
            return _declared(
                x, lambda x: scatter_sum(x, groups, dim), lambda g: gather(g, groups, dim)
            )
        case "all_reduce_replicate":
            return _declared(x, lambda x: total(x, groups), lambda g: total(g, groups))
        case "all_reduce":
            return _declared(x, lambda x: total(x, groups), lambda g: g)
        case "all_reduce_max":
            return largest(x.detach(), groups)
        case "all_to_all":
            return _declared(
                x,
                lambda x: exchange(x, groups, dim, to_dim),
                lambda g: exchange(g, groups, to_dim, dim),
            )
        case "replicate":
            return _declared(x, torch.clone, lambda g: total(g, groups))
        case "slice":
            return _declared(
                x, lambda x: own_part(x, groups, dim), lambda g: padded(g, groups, dim)
            )
        case _:
            assert_never(pair)
