"""The numbers that a run writes to metrics.jsonl equal those of the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.reference.data import batch, evaluation_batch, read_corpus
from backends.reference.training import Step, train
from backends.reference.weights import initial_weights
from tests.programs.support import compiled, launch, metrics, program, replaced, write, write_text

TWO = (("cluster.node.devices", "2"), ("tp", "1"))
SEQUENCES, SEQ_LEN, STEPS, EVERY = 8, 16, 6, 3
PEAK = 1e9
DTYPES = ("PARAMETER", "COMPUTE", "REDUCE", "ACCUMULATE")


def model_flops() -> float:
    """Per token, forward and backward: 6 for every weight of a matrix product, and the causal half
    of attention's two products, with the keys and with the values."""
    d_model, heads, kv_heads, head_dim, d_ff, vocab, layers = 16, 4, 2, 4, 24, 256, 2
    attention = d_model * head_dim * (2 * heads + 2 * kv_heads)
    weights = layers * (attention + 3 * d_model * d_ff) + vocab * d_model
    return 6 * weights + 6 * layers * heads * head_dim * SEQ_LEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a finished run on two ranks, in float64, on devices of a stated peak."""
    folder = tmp_path_factory.mktemp("numbers")
    write_text(folder)
    made = replaced(program(*TWO), **{f"{name}_DTYPE": "float64" for name in DTYPES})
    done = launch(write(replaced(made, PEAK_FLOPS=PEAK), folder / "out"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def expected(folder: Path) -> tuple[Step, ...]:
    spec = compiled(*TWO).plan.spec
    data = read_corpus(spec.train, folder / "train")
    batches = tuple(
        batch(data, spec.train.seed, SEQ_LEN, SEQUENCES, step * SEQUENCES * SEQ_LEN, SEQ_LEN)
        for step in range(STEPS)
    )
    assert spec.train.eval is not None
    validation = read_corpus(spec.train, folder / "validation")
    evaluation = evaluation_batch(validation, SEQ_LEN, spec.train.eval.sequences)
    start = initial_weights(spec.model, spec.train.seed)
    return train(spec.model, spec.train, STEPS, start, batches, evaluation)


def test_what_is_recorded_is_what_the_reference_computes(folder: Path) -> None:
    records = metrics(folder / "runs" / "main")
    for at, (record, step) in enumerate(zip(records, expected(folder), strict=True), start=1):
        assert record["step"] == at
        assert record["tokens"] == at * SEQUENCES * SEQ_LEN
        assert record["skipped"] == 0
        assert record["loss"] == pytest.approx(step.loss.item(), rel=1e-10)
        assert record["grad_norm"] == pytest.approx(step.grad_norm.item(), rel=1e-10)
        assert record["lr"] == pytest.approx(step.lr, rel=1e-10)
        evaluated = step.val_loss if at % EVERY == 0 else None
        wanted = None if evaluated is None else pytest.approx(evaluated.item(), rel=1e-10)
        assert record["val_loss"] == wanted


def test_mfu_is_the_flops_of_its_tokens_over_the_peak_of_all_devices(folder: Path) -> None:
    for record in metrics(folder / "runs" / "main"):
        rate = record["tokens_per_s"]
        assert rate is not None
        assert record["mfu"] == pytest.approx(rate * model_flops() / 2 / PEAK, rel=1e-12)
