"""What `transformers` cannot say about the reference: interleaved pairs, and calculus itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backends.reference.model import logits, rotate, token_losses
from backends.reference.parameters import parameter_shapes
from compiler.schema.model import (
    Gqa,
    HeadSpec,
    LayerSpec,
    Llama3Scaling,
    ModelSpec,
    RmsNorm,
    Rope,
    Swiglu,
)
from dsl.schema import Pattern

HEAD_DIM = 6


def model_with(rope: Rope, qk_norm: bool = False, tied: bool = False) -> ModelSpec:
    """Two kinds of layers, so that a mix-up of kinds would show."""
    kinds = tuple(
        LayerSpec(
            attention=Gqa(
                heads=4,
                kv_heads=kv_heads,
                head_dim=HEAD_DIM,
                scale=HEAD_DIM**-0.5,
                rope=rope,
                qk_norm=RmsNorm(eps=1e-6) if qk_norm else None,
            ),
            ffn=Swiglu(d_ff=d_ff),
        )
        for kv_heads, d_ff in ((2, 11), (1, 7))
    )
    return ModelSpec(
        vocab=17,
        d_model=10,
        layers=3,
        layer=Pattern(kinds=kinds, indices=(0, 1, 0)),
        head=HeadSpec(tied=tied),
    )


def random_parameters(model: ModelSpec) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) * 0.4
        for name, shape in parameter_shapes(model).items()
    }


def some_tokens() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, targets, documents [2, 9]; the second row holds two documents."""
    draw = torch.randint(17, (2, 10), generator=torch.Generator().manual_seed(6))
    documents = torch.zeros(2, 9, dtype=torch.long)
    documents[1, 4:] = 1
    return draw[:, :-1], draw[:, 1:], documents


@pytest.mark.parametrize("scaled", [False, True])
def test_interleaved_is_half_with_permuted_rows(scaled: bool) -> None:
    """Storing pair p at (2p, 2p + 1) or at (p, p + head_dim/2) is a reordering of wq's rows."""
    scaling = Llama3Scaling(factor=4.0, low=1.0, high=3.0, original=24) if scaled else None
    half = model_with(Rope(theta=50.0, scaling=scaling))
    interleaved = model_with(Rope(theta=50.0, pairs="interleaved", scaling=scaling))
    parameters = random_parameters(half)
    order = [0, 3, 1, 4, 2, 5]  # interleaved element -> half element, head_dim 6
    permuted = {
        name: value[:, order] if name.endswith((".wq", ".wk")) else value
        for name, value in parameters.items()
    }
    tokens, _, documents = some_tokens()
    expected = logits(half, parameters, tokens, documents)
    torch.testing.assert_close(
        logits(interleaved, permuted, tokens, documents), expected, rtol=0, atol=1e-13
    )
    unpermuted = logits(interleaved, parameters, tokens, documents)
    assert (unpermuted - expected).abs().max() > 1e-3


def test_a_turn_by_one_radian() -> None:
    """The first pair turns by 1 radian a position whatever theta is: the rotation matrix."""
    x = torch.tensor([[[[2.0, 3.0]], [[2.0, 3.0]]]], dtype=torch.float64)  # [1, seq 2, 1, 2]
    cos, sin = 0.5403023058681398, 0.8414709848078965
    expected = [2 * cos - 3 * sin, 3 * cos + 2 * sin]
    for rope in (Rope(theta=7.0), Rope(theta=7.0, pairs="interleaved")):
        turned = rotate(rope, x)[0, :, 0]
        torch.testing.assert_close(turned[0], x[0, 0, 0])
        torch.testing.assert_close(turned[1], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_are_finite_differences(tied: bool) -> None:
    """Along a random direction, central differences of the loss equal gradient . direction."""
    rope = Rope(theta=50.0, pairs="interleaved")
    model = model_with(rope, qk_norm=True, tied=tied)
    tokens, targets, documents = some_tokens()
    parameters = random_parameters(model)

    def loss(values: dict[str, Tensor]) -> Tensor:
        return token_losses(logits(model, values, tokens, documents), targets).sum()

    watched = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    loss(watched).backward()
    generator = torch.Generator().manual_seed(7)
    step = 1e-5
    for name, value in parameters.items():
        direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        ahead = loss({**parameters, name: value + step * direction})
        behind = loss({**parameters, name: value - step * direction})
        gradient = watched[name].grad
        assert gradient is not None
        # error: step^2 / 6 of the third derivative, and 1e-16 * loss / step of rounding
        torch.testing.assert_close(
            (gradient * direction).sum(), (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7
        )
