"""What `transformers` cannot say about the reference: closed forms, and calculus itself."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from backends.reference.model import (
    gelu,
    layer_norm,
    logits,
    rotate,
    softcap,
    token_losses,
    visible_keys,
)
from backends.reference.parameters import decaying, parameter_shapes, parameters_of
from backends.reference.weights import initial_weights
from compiler.schema.model import (
    EmbeddingSpec,
    Ffn,
    FullMask,
    Geglu,
    Gelu,
    Gqa,
    HeadSpec,
    LayerNorm,
    LayerSpec,
    Llama3Scaling,
    ModelSpec,
    RmsNorm,
    Rope,
    SlidingMask,
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


def test_a_window_is_counted_from_the_query_within_its_document() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 1]])
    seen = [[[0], [0, 1], [1, 2], [3], [3, 4]]]
    visible = visible_keys(SlidingMask(window=2), documents)
    assert [[row.nonzero().flatten().tolist() for row in rows] for rows in visible] == seen


def test_gelu_is_nearly_the_exact_one() -> None:
    """The tanh form is within 5e-4 of x times the normal distribution function, and not equal."""
    x = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    exact = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    error = (gelu(x) - exact).abs().max()
    assert 1e-4 < error < 5e-4


def test_softcap_keeps_small_and_bounds_large() -> None:
    x = torch.tensor([-1e9, 0.0, 1e-6, 1e9], dtype=torch.float64)
    expected = torch.tensor([-50.0, 0.0, 1e-6, 50.0], dtype=torch.float64)
    torch.testing.assert_close(softcap(x, 50.0), expected, rtol=1e-12, atol=0)
    assert softcap(x, None) is x


def test_a_layer_norm_sees_neither_shift_nor_scale() -> None:
    x = torch.tensor([3.0, 1.0, -1.0, 5.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    # mean 2, variance (1 + 1 + 9 + 9) / 4 = 5
    expected = torch.tensor([1.0, -2.0, -9.0, 12.0], dtype=torch.float64) / math.sqrt(5) + 7
    for moved in (x, 10 * x - 4):
        got = layer_norm(moved, weight, torch.full_like(x, 7.0), LayerNorm(eps=0.0))
        torch.testing.assert_close(got, expected, rtol=1e-14, atol=0)


def with_everything() -> ModelSpec:
    """Every component beside those of `model_with`: a kind of layer for each feed-forward, each
    order of norms and each mask."""

    def layer(ffn: Ffn, norms: Literal["pre", "post", "both"], window: int | None) -> LayerSpec:
        attention = Gqa(
            heads=4,
            kv_heads=2,
            head_dim=HEAD_DIM,
            bias=True,
            mask=FullMask() if window is None else SlidingMask(window=window),
            softcap=1.5,
            scale=0.7,
            rope=Rope(theta=50.0),
            qk_norm=RmsNorm(eps=1e-6, unit_offset=True),
        )
        return LayerSpec(attention=attention, ffn=ffn, norms=norms)

    return ModelSpec(
        vocab=17,
        d_model=10,
        layers=3,
        norm=LayerNorm(eps=1e-3),
        layer=Pattern(
            kinds=(
                layer(Geglu(d_ff=11, bias=True), "pre", 3),
                layer(Gelu(d_ff=7, bias=True), "post", None),
                layer(Swiglu(d_ff=5, bias=True), "both", 2),
            ),
            indices=(0, 1, 2),
        ),
        head=HeadSpec(tied=True, softcap=2.0),
        embedding=EmbeddingSpec(scale=1.7),
    )


MODELS = {
    "untied": model_with(Rope(theta=50.0, pairs="interleaved"), qk_norm=True),
    "tied": model_with(Rope(theta=50.0, pairs="interleaved"), qk_norm=True, tied=True),
    "everything": with_everything(),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_finite_differences(name: str) -> None:
    """Along a random direction, central differences of the loss equal gradient . direction."""
    model = MODELS[name]
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


def test_weights_start_neutral() -> None:
    """Norms multiply by one, biases add nothing, matrices are drawn; only those decay."""
    model = with_everything()
    initial = initial_weights(model, seed=1)
    table = parameters_of(model)
    assert {name: tuple(value.shape) for name, value in initial.items()} == {
        name: parameter.shape for name, parameter in table.items()
    }
    layer = "layers.0."
    for name in ("attention.bq", "attention.bo", "ffn.b_gate", "ffn.b_down", "ffn_norm.bias"):
        assert not initial[layer + name].any(), name
    assert not initial[layer + "attention.q_norm"].any()  # 1 + weight
    assert (initial[layer + "ffn_norm.weight"] == 1).all()
    assert initial[layer + "attention.bq"].dim() == 2  # and yet it does not decay
    inner = {"wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down"}
    decays = {name for name in table if name.split(".")[-1] in inner}
    assert decaying(model) == decays | {"embedding.weight"}
    assert decaying(model) == {
        name for name, value in initial.items() if value.unique().numel() > 1
    }
