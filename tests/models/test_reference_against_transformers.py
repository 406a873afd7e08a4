"""The reference equals Hugging Face `transformers`: logits and every gradient, in float64.

`transformers` raises norms, softmax and rotary angles to float32 whatever the model's dtype, and
makes constants (Gemma's embedding scale) in the default dtype; here these names are made to mean
float64, so that its own formulas run at the precision of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from backends.reference.model import logits, token_losses
from backends.reference.parameters import parameter_shapes
from tests.models.families import CASES, SEQ, VOCAB, WINDOW, Case

BOUND = 1e-10
ROWS = 2


def oracle_of(case: Case) -> PreTrainedModel:
    torch.manual_seed(3)
    model = case.oracle(case.config).to(torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():  # norms too: a weight of 1 hides its own omission
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def copied(case: Case, oracle: PreTrainedModel) -> dict[str, Tensor]:
    weights = dict(oracle.named_parameters())
    return {
        name: weights[case.name(name)].detach().clone().reshape(shape).requires_grad_()
        for name, shape in parameter_shapes(case.model).items()
    }


def difference(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(autouse=True)
def _float32_is_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch, "float", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_default_dtype(default)


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients(name: str) -> None:
    case = CASES[name]
    oracle = oracle_of(case)
    parameters = copied(case, oracle)
    assert len(parameters) == len(dict(oracle.named_parameters()))
    tokens = torch.randint(VOCAB, (ROWS, SEQ), generator=torch.Generator().manual_seed(1))
    targets = tokens.roll(-1, dims=1)

    expected = oracle(tokens, use_cache=False).logits
    torch.nn.functional.cross_entropy(expected.flatten(0, 1), targets.flatten()).backward()

    got = logits(case.model, parameters, tokens, torch.zeros_like(tokens))
    token_losses(got, targets).mean().backward()

    assert difference(got, expected) <= BOUND
    theirs: Mapping[str, Tensor] = dict(oracle.named_parameters())
    for parameter, value in parameters.items():
        gradient = theirs[case.name(parameter)].grad
        assert gradient is not None
        assert value.grad is not None
        assert difference(value.grad, gradient.reshape(value.shape)) <= BOUND, parameter


@pytest.mark.parametrize("name", ["llama gqa scaled", "mistral", "gemma2"])
def test_documents_are_independent(name: str) -> None:
    """Two documents packed into one row score as each does alone, in `transformers`.

    Both are longer than a window, which must not reach over the border.
    """
    case = CASES[name]
    oracle = oracle_of(case)
    border = WINDOW + 1
    tokens = torch.randint(VOCAB, (1, SEQ), generator=torch.Generator().manual_seed(2))
    documents = (torch.arange(SEQ) >= border).long()[None]
    got = logits(case.model, copied(case, oracle), tokens, documents)
    for piece in (slice(0, border), slice(border, SEQ)):
        expected = oracle(tokens[:, piece], use_cache=False).logits
        assert difference(got[:, piece], expected) <= BOUND
