"""The reference's optimizer, clipping, schedules and data order against torch, and by hand."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from backends.reference.data import Corpus, batch, read_corpus, shuffled
from backends.reference.training import State, adamw, clip_factor, learning_rate
from compiler.schema.train import AdamW, Constant, Cosine, TextData, TokenData, TrainSpec, Wsd

SHAPES = {"matrix": (5, 3), "vector": (4,), "three": (2, 3, 2)}


def drawn(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in SHAPES.items()
    }


def test_adamw_and_clipping_are_those_of_torch() -> None:
    spec = AdamW(lr=0.01, betas=(0.8, 0.97), eps=1e-6, weight_decay=0.3)
    initial = drawn(0)
    zeros = {name: torch.zeros_like(value) for name, value in initial.items()}
    state = State(initial, zeros, zeros, 0)
    weights = {name: torch.nn.Parameter(value.clone()) for name, value in initial.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [weights["matrix"], weights["three"]], "weight_decay": 0.3},
            {"params": [weights["vector"]], "weight_decay": 0.0},
        ],
        betas=(0.8, 0.97),
        eps=1e-6,
    )
    for step, lr in enumerate((0.01, 0.02, 0.005)):
        gradients = drawn(step + 1)
        norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
        factor = clip_factor(norm, 0.7)
        state = adamw(
            spec,
            lr,
            state,
            {name: g * factor for name, g in gradients.items()},
            {"matrix", "three"},
        )

        for name, weight in weights.items():
            weight.grad = gradients[name].clone()
        expected_norm = torch.nn.utils.clip_grad_norm_(weights.values(), 0.7)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        torch.testing.assert_close(norm, expected_norm, rtol=1e-14, atol=0)
    for name, weight in weights.items():
        moments = optimizer.state[weight]
        torch.testing.assert_close(state.parameters[name], weight.detach(), rtol=1e-13, atol=0)
        torch.testing.assert_close(state.exp_avg[name], moments["exp_avg"], rtol=1e-13, atol=0)
        torch.testing.assert_close(
            state.exp_avg_sq[name], moments["exp_avg_sq"], rtol=1e-13, atol=0
        )
        assert state.steps == int(moments["step"])


def test_a_norm_below_the_limit_is_left_alone() -> None:
    assert clip_factor(torch.tensor(0.5), 1.0) == 1
    assert clip_factor(torch.tensor(50.0), None) == 1


def test_warm_up_reaches_the_peak_at_its_last_step() -> None:
    rates = [learning_rate(Constant(warmup=4), 2.0, 10, step) for step in range(1, 7)]
    assert rates == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_cosine_is_that_of_torch() -> None:
    """Without warm-up, step t of ours is t iterations of `CosineAnnealingLR`."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8, eta_min=0.5)
    for step in range(1, 9):
        optimizer.step()
        oracle.step()
        ours = learning_rate(Cosine(min_lr=0.5), 3.0, 8, step)
        assert math.isclose(ours, oracle.get_last_lr()[0], rel_tol=1e-12)


def test_wsd_by_hand() -> None:
    schedule = Wsd(warmup=2, decay=4, min_lr=1.0)
    rates = [learning_rate(schedule, 5.0, 9, step) for step in range(1, 10)]
    assert rates == [2.5, 5.0, 5.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]


@given(total=st.integers(1, 200), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_reads_each_sequence_once(total: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled(i, total, seed, epoch) for i in range(total)) == list(range(total))


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = {
        tuple(shuffled(i, 60, seed, epoch) for i in range(60))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


def reading(data: TextData | TokenData) -> TrainSpec:
    return TrainSpec(optimizer=AdamW(lr=1.0), data=data)


def test_text_files_are_documents(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_bytes(b"\x05\x06")
    (tmp_path / "a.txt").write_bytes(b"\x07")
    (tokens,) = read_corpus(reading(TextData(train="")), tmp_path).sources
    assert tokens.tolist() == [7, 0, 5, 6, 0]


def test_token_files_are_little_endian_words(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes((70_000).to_bytes(4, "little") + (3).to_bytes(4, "little"))
    (tokens,) = read_corpus(reading(TokenData()), tmp_path).sources
    assert tokens.tolist() == [70_000, 3]


@pytest.mark.parametrize("separator", [0, 9])
def test_targets_of_the_next_document_do_not_count(separator: int) -> None:
    s = separator
    tokens = torch.tensor([4, 5, s, s, 6, 7, 8])
    corpus = Corpus((tokens,), (Fraction(1),), separator=s, packed=True)
    read = batch(corpus, seed=0, seq_len=6, sequences=1, first=0, block=6)
    assert read.tokens.tolist() == [[4, 5, s, s, 6, 7]]
    assert read.targets.tolist() == [[5, s, s, 6, 7, 8]]
    assert read.documents.tolist() == [[0, 0, 0, 1, 2, 2]]
    # the separator ends its document, and is learnt; what follows it is not
    assert read.counted.tolist() == [[True, True, False, False, True, True]]


def test_concatenated_documents_are_one() -> None:
    tokens = torch.tensor([4, 0, 6, 7])
    read = batch(Corpus((tokens,), (Fraction(1),), 0, packed=False), 0, 3, 1, 0, 3)
    assert read.targets.tolist() == [[0, 6, 7]]
    assert (read.documents.tolist(), read.counted.all().item()) == ([[0, 0, 0]], True)
