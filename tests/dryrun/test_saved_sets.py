"""What a layer of the compiled program really keeps, in bytes after partitioning, against closed
forms in units of one activation's elements on a rank: seq x d_model / tp."""

from __future__ import annotations

import pytest
import torch

from tests.dryrun.specs import dry, stepped

SEQUENCE, WIDTH, HEAD_DIM, TP = 64, 64, 8, 2
UNIT = SEQUENCE * WIDTH / TP
G = 2 / 8  # key/value heads of query heads
F = 96 / 64  # d_ff of d_model
LOG_SUM_EXP = 4 / HEAD_DIM  # fp32, a query and head

KEPT = {"[swiglu, rms_norm]": 8 + 4 * G + 4 * F + LOG_SUM_EXP}
MORE = {
    "none": 12 + 4 * G + 6 * F + LOG_SUM_EXP,
    # torch keeps the generator's state for an attention that runs again, were there dropout
    "full": 2 + torch.get_rng_state().nbytes / UNIT,
    "[swiglu]": 12 + 4 * G + 4 * F + LOG_SUM_EXP,
    "[linear]": 12 + 2 * G + 2 * F + LOG_SUM_EXP,  # v, gate and up are made again
    # before their rotation q and k; the attention's part of the stream instead of the sum
    "[rope, add]": 12 + 4 * G + 6 * F + LOG_SUM_EXP,
}


def kept_by_a_layer(recompute: str) -> float:
    """Bytes that two more layers keep, halved, in units. Collectives are the rank program's."""
    fields = {"tp": str(TP), "microbatch": "1 sequences", "compile": "true"}
    totals: list[int] = []
    for layers in ("2", "4"):
        result = dry({**fields, "recompute": recompute, "model.layers": layers})
        (rank,) = stepped(result)
        assert [line for line in rank.lines if not line.ok] == []
        totals.append(rank.saved["activations"])
    return (totals[1] - totals[0]) / 2 / UNIT


@pytest.mark.parametrize("recompute", KEPT)
def test_a_compiled_layer_keeps_what_the_closed_form_says(recompute: str) -> None:
    assert kept_by_a_layer(recompute) == KEPT[recompute]


@pytest.mark.long
@pytest.mark.parametrize("recompute", MORE)
def test_more_lists(recompute: str) -> None:
    assert kept_by_a_layer(recompute) == MORE[recompute]


@pytest.mark.long
def test_a_stage_keeps_what_it_would_if_all_recomputed_as_it_does() -> None:
    ways = ("full", "[swiglu]")
    fields = {"tp": str(TP), "pp": "2", "compile": "true", "model.layers": "4"}
    mixed = stepped(dry({**fields, "recompute": f"by_stage([{', '.join(ways)}])"}))
    alike = [stepped(dry({**fields, "recompute": way})) for way in ways]
    for stage, ranks in enumerate(alike):
        assert mixed[stage].saved == ranks[stage].saved
        assert mixed[stage].peak == ranks[stage].peak
    assert alike[0][0].saved["activations"] < alike[1][0].saved["activations"]
