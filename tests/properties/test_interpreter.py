"""The interpreter's own parts, by numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from backends.interpreter.checks import PlacementError, check
from backends.interpreter.collectives import collective
from backends.interpreter.groups import cut, groups_over
from backends.interpreter.meaning import apply
from compiler.mesh import Atom, Mesh
from compiler.operators import Attention
from compiler.placement import I, Placement, R, Shard, layout
from compiler.rank_program import Kept, LocalValue, Pair

MESH = Mesh((Atom("a", 2), Atom("b", 2)), (("a", ("a",)), ("b", ("b",))))
"""Ranks 0 1 | 2 3: b is innermost."""


def per_rank(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("pair", "dim", "forward", "backward"),
    [
        # every rank holds [1, 2], [10, 20], [100, 200], [1000, 2000]; groups over b
        (
            "all_gather",
            1,
            per_rank(
                [1, 2, 10, 20], [1, 2, 10, 20], [100, 200, 1000, 2000], [100, 200, 1000, 2000]
            ),
            per_rank([6, 8], [10, 12], [22, 24], [26, 28]),
        ),
        (
            "reduce_scatter",
            1,
            per_rank([11], [22], [1100], [2200]),
            per_rank([1, 2], [1, 2], [3, 4], [3, 4]),
        ),
        (
            "all_reduce",
            0,
            per_rank([11, 22], [11, 22], [1100, 2200], [1100, 2200]),
            per_rank([1, 2], [3, 4], [5, 6], [7, 8]),
        ),
    ],
)
def test_pair_moves_and_moves_back(pair: Pair, dim: int, forward: Tensor, backward: Tensor) -> None:
    """Gradients that come in are 1, 2, 3, ... over the ranks' outputs in order."""
    x = per_rank([1, 2], [10, 20], [100, 200], [1000, 2000]).requires_grad_()
    (y,) = collective(pair, (x,), groups_over(MESH, ("b",)), dim)
    assert torch.equal(y, forward)
    incoming = torch.arange(1.0, 1 + y.numel(), dtype=torch.float64).reshape(y.shape)
    (gradient,) = torch.autograd.grad(y, [x], incoming)
    assert torch.equal(gradient, backward)


def test_maximum_over_the_outer_atom_carries_no_gradient() -> None:
    x = per_rank([1], [10], [100], [5]).requires_grad_()
    (y,) = collective("all_reduce_max", (x,), groups_over(MESH, ("a",)), 0)
    assert torch.equal(y, per_rank([100], [10], [100], [10]))
    assert not y.requires_grad


def test_cut_nests_atoms_outermost_first() -> None:
    both = layout(MESH, {"a": Shard("n"), "b": Shard("n")})
    assert torch.equal(cut(MESH, both, ("n",), torch.arange(4)), torch.arange(4).reshape(4, 1))
    each = layout(MESH, {"a": Shard("m"), "b": Shard("n")})
    held = cut(MESH, each, ("n", "m"), torch.arange(4).reshape(2, 2))
    assert torch.equal(held, torch.tensor([0, 2, 1, 3]).reshape(4, 1, 1))


def test_attention_takes_values_of_another_width() -> None:
    """As multi-head latent attention has them: queries and keys of 6, values of 4, four query heads
    on two of keys and values; against torch's own."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((4, 6), (2, 6), (2, 4))  # heads, width
    q, k, v = (
        torch.randn(1, 2, 5, *shape, generator=draw, dtype=torch.float64) for shape in shapes
    )
    positions, documents = torch.arange(5).expand(1, 2, 5), torch.zeros(1, 2, 5, dtype=torch.long)
    operator = Attention(scale=0.3)
    dims = tuple(("batch", "seq", *of) for of in (("h", "w"), ("kv", "w"), ("kv", "value")))
    sides = (positions, documents, positions, documents)
    (o,) = apply(operator, (*dims, *(("batch", "seq"),) * 4), (q, k, v, *sides), torch.zeros(1))
    expected = scaled_dot_product_attention(
        *(x[0].transpose(1, 2) for x in (q, k, v)), is_causal=True, scale=0.3, enable_gqa=True
    )
    assert torch.allclose(o[0], expected.transpose(1, 2), rtol=0, atol=1e-14)
    assert operator.infer(dims) == (("batch", "seq", "h", "value"),)
    sizes = {"batch": 2, "seq": 5, "h": 4, "kv": 2, "w": 6, "value": 4}
    causal_half = 2 * 2 * 4 * (6 + 4) * 5 * 5 / 2  # 2 FLOPs, batch, heads, both widths, pairs
    assert operator.flops(sizes, dims) == causal_half


def test_an_index_is_an_integer() -> None:
    tokens = LocalValue("tokens", ("n",), layout(MESH, {}), "index", Kept.SAVED)
    check(MESH, {"n": 2}, tokens, torch.ones(4, 2, dtype=torch.long))
    with pytest.raises(PlacementError, match=r"tokens holds torch.float64, declared index"):
        check(MESH, {"n": 2}, tokens, per_rank([1, 2], [1, 2], [1, 2], [1, 2]))


def value(**placements: Placement) -> LocalValue:
    return LocalValue("x", ("n",), layout(MESH, placements), "compute", Kept.SAVED)


def test_replicated_value_must_be_equal() -> None:
    held = per_rank([1], [1], [2], [2])
    check(MESH, {"n": 2}, value(a=Shard("n"), b=R), held)
    with pytest.raises(PlacementError, match="x differs by 1 over b"):
        check(MESH, {"n": 2}, value(a=Shard("n"), b=R), per_rank([1], [2], [2], [2]))


def test_shard_must_have_its_share_of_the_elements() -> None:
    with pytest.raises(PlacementError, match=r"local shape \(1,\), declared \(2,\)"):
        check(MESH, {"n": 4}, value(a=Shard("n"), b=R), per_rank([1], [1], [2], [2]))


@pytest.mark.parametrize(("weights", "same"), [([3, 3, 4, 4], True), ([3, 5, 4, 4], False)])
def test_invariant_value_must_have_one_gradient(weights: list[float], same: bool) -> None:
    held = per_rank([1], [1], [2], [2]).requires_grad_()
    check(MESH, {"n": 2}, value(a=Shard("n"), b=I), held)
    loss = (held.flatten() * torch.tensor(weights)).sum()
    if same:
        torch.autograd.grad(loss, [held])
    else:
        with pytest.raises(PlacementError, match="gradient of x differs by 2 over b"):
            torch.autograd.grad(loss, [held])
