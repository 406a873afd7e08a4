"""Where the comparison draws its line between rounding and a difference, from both sides."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from backends.reference.training import State, Step
from llamac.verify.compare import BOUND, ROUNDING, compare
from llamac.verify.expected import Run
from llamac.verify.observe import ORDERED, NotFinite, Record, StepRecord
from llamac.verify.result import Difference

LARGEST = 8.0
"""The largest element of every observable; `tiny` holds the one in question."""


def tensors(tiny: float) -> dict[str, Tensor]:
    values = {"big": [LARGEST, -1.0], "tiny": [tiny, 0.0]}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def differences(observable: str, expected: float, got: float) -> tuple[Difference, ...]:
    """Of a run of one rank and one step in which `tiny` of one observable is another number."""

    def found(name: str) -> dict[str, Tensor]:
        return tensors(got if name == observable else expected)

    record = Record(
        coordinates={},
        shapes={"big": [2], "tiny": [2]},
        slices={"big": [[0, 2]], "tiny": [[0, 2]]},
        moment_slices={"big": [[0, 2]], "tiny": [[0, 2]]},
        initial=found("initial"),
        steps=[
            StepRecord(
                position=0,
                tokens=1,
                loss=1.0,
                grad_norm=1.0,
                lr=1.0,
                skipped=False,
                gradients=found("gradient"),
                parameters=found("parameter"),
                exp_avg=found("exp_avg"),
                exp_avg_sq=found("exp_avg_sq"),
                adam_steps={"big": 1.0, "tiny": 1.0},
                val_loss=None,
            )
        ],
        position=1,
        rates=[1.0],
        orders={n: [*range(n)] for n in ORDERED},
        logits=[],
        sample=None,
        endings=[],
        not_finite=NotFinite(skipped=True, parameters=found("unchanged")),
        lines={},
    )
    right, one = tensors(expected), torch.ones((), dtype=torch.float64)
    after = State(parameters=right, exp_avg=right, exp_avg_sq=right, steps=1)
    step = Step(
        loss=one, tokens=1, gradients=right, grad_norm=one, lr=1.0, after=after, val_loss=None
    )
    run = Run(
        initial=right,
        steps=(step,),
        positions=(0, 1),
        rates=(1.0,),
        orders={n: [*range(n)] for n in ORDERED},
        logits=(),
        sample=None,
        endings=(),
    )
    return compare([record], run, {})[1]


@pytest.mark.parametrize(
    ("observable", "expected", "got"),
    [
        ("gradient", 0.0, 1.1e-16 * LARGEST),
        ("gradient", 0.0, 0.9 * ROUNDING * LARGEST),
        ("gradient", 3e-17, -4e-17),
        ("exp_avg", 0.0, -1.1e-16 * LARGEST),
        ("exp_avg_sq", 0.0, 4e-33 * LARGEST),
        ("parameter", 1.0, 1.0 + 0.9 * BOUND),
    ],
)
def test_rounding_is_no_difference(observable: str, expected: float, got: float) -> None:
    assert differences(observable, expected, got) == ()


@pytest.mark.parametrize(
    ("observable", "expected", "got"),
    [
        # a sign that is wrong, down to what the sums behind the largest gradient can resolve
        ("gradient", 1e-6 * LARGEST, -1e-6 * LARGEST),
        ("gradient", 1e-12 * LARGEST, -1e-12 * LARGEST),
        ("gradient", 1e-15 * LARGEST, -1e-15 * LARGEST),
        # just above either bound
        ("gradient", 0.0, 1.1 * ROUNDING * LARGEST),
        ("gradient", 1e-4, 1e-4 * (1 + 1.1 * BOUND)),
        # a tiny tensor that is missing from the sum, or counted twice
        ("gradient", 1e-10, 0.0),
        ("exp_avg", 1e-10, 2e-10),
        # second moments are squares: of 1e-12 of the largest gradient, say
        ("exp_avg_sq", 1e-24 * LARGEST, 2e-24 * LARGEST),
        ("exp_avg_sq", 0.0, 1.1 * ROUNDING**2 * LARGEST),
        ("parameter", 0.0, 1.1 * ROUNDING * LARGEST),
        # what is drawn and not computed is exact
        ("initial", 1e-20, 0.0),
        ("gradient", 0.0, math.nan),
    ],
)
def test_a_difference_is_found_in_its_tensor(observable: str, expected: float, got: float) -> None:
    (found,) = differences(observable, expected, got)
    assert (found.observable, found.tensor, found.step) == (
        observable,
        "tiny",
        0 if observable == "initial" else 1,
    )
