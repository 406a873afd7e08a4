"""Every fault of the catalogue shows as a number out of bound, in the tensor it spoils first."""

from __future__ import annotations

import math

import pytest

from compiler.schema import PlanSpec
from compiler.schema.train import EvalSpec
from llamac.verify.fault import Fault, Need
from llamac.verify.fault_catalogue import FAULTS
from llamac.verify.verify import Asked, verify
from tests.twin.layouts import PACKED, VALIDATED, Spread, gemma, llama, plan, ramp
from tests.twin.programs import compiled, emitted

# what a plan has -> the plan; a fault is seeded into the first that has what it needs
PLANS: tuple[tuple[set[Need], PlanSpec], ...] = (
    (
        {"dp", "accumulation", "clip"},
        plan(llama(12), Spread(dp=2, fsdp=2, microbatches=3)),
    ),
    ({"tp"}, plan(llama(12), Spread(tp=2))),
    ({"tp", "tied"}, plan(llama(12, tied=True), Spread(tp=3))),
    ({"tp", "kv_copy"}, plan(llama(2), Spread(tp=4))),
    ({"dp", "replicate"}, plan(llama(12), Spread(dp=6, fsdp=3))),
    ({"cp"}, plan(llama(12), Spread(cp=3, fsdp=3))),
    ({"cp", "unsharded"}, plan(llama(12), Spread(dp=2, cp=3, sharding="none"))),
    ({"zero1"}, plan(llama(12), Spread(dp=3, fsdp=3, sharding="zero1"))),
    ({"pp"}, plan(llama(12), Spread(pp=3, microbatches=4))),
    ({"pp", "tied"}, plan(llama(12, tied=True), Spread(pp=3, microbatches=4))),
    ({"pp", "tp"}, plan(llama(12), Spread(pp=3, tp=2, microbatches=4))),
    ({"zero2"}, plan(llama(12), Spread(dp=3, fsdp=3, microbatches=2, sharding="zero2"))),
    ({"recompute"}, plan(llama(12), Spread(dp=2, fsdp=2, microbatches=3, recompute="full"))),
    (
        {"recompute", "pp"},
        plan(llama(12), Spread(pp=3, microbatches=4, recompute="full"), data=PACKED),
    ),
    ({"window", "cp"}, plan(gemma(), Spread(cp=3, fsdp=3), data=PACKED)),
    (
        {"samples", "tp"},
        plan(llama(12), Spread(tp=3), data=VALIDATED, eval=EvalSpec(every=10, prompt="once")),
    ),
    ({"ramp", "accumulation"}, ramp(plan(llama(12), Spread(dp=2, fsdp=2, microbatches=4)))),
)

# fault -> (observable, tensor) of the first difference, and the axis that it must point to
FIRST: dict[str, tuple[str, str, str]] = {
    "norm-gradients-unreduced": ("gradient", "layers.0.attention_norm.weight", "tp"),
    "norm-gradients-reduced-twice": ("gradient", "layers.0.attention_norm.weight", "tp"),
    "final-norm-unreduced": ("gradient", "final_norm.weight", "tp"),
    "gather-backward-slices": ("gradient", "embedding.weight", ""),
    "scatter-takes-a-slice": ("loss", "loss", ""),
    "ffn-input-gradient-unreduced": ("gradient", "embedding.weight", ""),
    "kv-copies-unsummed": ("gradient", "layers.0.attention.wk", "kv_copy"),
    "group-without-replicas": ("gradient", "embedding.weight", "replicate"),
    "embedding-keeps-foreign-rows": ("loss", "loss", ""),
    "softmax-maximum-local": ("loss", "loss", ""),
    "mean-of-rank-means": ("loss", "loss", ""),
    "mean-of-microbatch-means": ("tokens", "tokens", ""),
    "divided-by-dp": ("gradient", "embedding.weight", "fsdp"),
    "tied-gradient-doubled": ("gradient", "embedding.weight", ""),
    "lr-times-microbatches": ("lr", "lr", ""),
    "only-last-microbatch": ("gradient", "embedding.weight", ""),
    "norm-counts-copies": ("grad_norm", "grad_norm", ""),
    "norm-counts-replicas": ("grad_norm", "grad_norm", ""),
    "norm-of-own-shard": ("grad_norm", "grad_norm", "fsdp"),
    "clip-not-applied": ("exp_avg", "embedding.weight", ""),
    "decay-on-norms": ("parameter", "layers.0.attention_norm.weight", ""),
    "decay-coupled": ("exp_avg", "embedding.weight", ""),
    "adam-steps-differ": ("adam_step", "embedding.weight", "fsdp"),
    "a-rank-skips-the-step": ("exp_avg", "embedding.weight", ""),
    "schedule-off-by-one": ("lr", "lr", ""),
    "loss-across-documents": ("tokens", "tokens", ""),
    "attention-across-documents": ("loss", "loss", ""),
    "vocab-target-off-by-one": ("loss", "loss", ""),
    "two-ranks-read-the-same": ("tokens", "tokens", ""),
    "replica-perturbed": ("initial", "embedding.weight", "replicate"),
    "key-gradients-unsummed": ("gradient", "embedding.weight", ""),
    "value-gradients-unsummed": ("gradient", "embedding.weight", ""),
    "values-gathered-along-the-batch": ("loss", "loss", ""),
    "reduced-over-dp-not-cp": ("gradient", "embedding.weight", "replicate"),
    "divided-by-dp-not-cp": ("loss", "loss", ""),
    "tokens-counted-after-cutting": ("tokens", "tokens", ""),
    "positions-contiguous": ("loss", "loss", ""),
    "positions-of-each-part": ("loss", "loss", ""),
    "mask-local": ("loss", "loss", ""),
    "keys-taken-as-contiguous": ("loss", "loss", ""),
    "key-documents-in-another-order": ("loss", "loss", ""),
    "labels-shifted-after-cutting": ("loss", "loss", ""),
    "context-ranks-read-other-rows": ("tokens", "tokens", ""),
    "stage-order-swapped": ("loss", "loss", ""),
    "sent-to-the-wrong-rank": ("loss", "loss", ""),
    "gradients-scaled-by-the-schedule": ("gradient", "embedding.weight", ""),
    "microbatch-dropped": ("loss", "loss", ""),
    "mean-of-microbatches": ("loss", "loss", ""),
    "microbatch-read-twice": ("loss", "loss", ""),
    "targets-of-another-microbatch": ("loss", "loss", ""),
    "boundary-in-less-precision": ("loss", "loss", ""),
    "gradient-stops-at-a-stage": ("gradient", "embedding.weight", ""),
    "norm-without-stages": ("grad_norm", "grad_norm", "pp"),
    "ends-unsummed": ("gradient", "embedding.weight", "pp"),
    "ends-summed-twice": ("gradient", "embedding.weight", ""),
    "ends-counted-twice": ("grad_norm", "grad_norm", ""),
    "rows-not-exchanged": ("parameter", "embedding.weight", "fsdp"),
    "gradients-reduced-twice": ("gradient", "embedding.weight", "fsdp"),
    "gradients-of-other-rows": ("exp_avg", "embedding.weight", ""),
    "norm-counts-whole-gradients": ("grad_norm", "grad_norm", ""),
    "decay-of-one-end": ("parameter", "embedding.weight", "pp"),
    "window-off-by-one": ("loss", "loss", ""),
    "window-ignored": ("loss", "loss", ""),
    "window-on-the-other-layers": ("loss", "loss", ""),
    "window-across-documents": ("loss", "loss", ""),
    "window-local": ("loss", "loss", ""),
    "recomputed-with-fresh-randomness": ("gradient", "embedding.weight", ""),
    "input-overwritten-before-recomputing": ("gradient", "embedding.weight", ""),
    "recomputed-for-another-microbatch": ("gradient", "embedding.weight", ""),
    "parameters-gathered-before-the-update": ("loss", "loss", ""),
    "averaged-over-replicas": ("gradient", "embedding.weight", "replicate"),
    "phase-ends-a-step-late": ("tokens", "tokens", ""),
    "microbatches-of-the-first-phase": ("tokens", "tokens", ""),
    "data-read-again": ("tokens", "tokens", ""),
    "order-of-its-own": ("tokens", "tokens", ""),
    "state-left-at-a-border": ("exp_avg", "embedding.weight", ""),
    "warm-up-not-divided": ("lr", "lr", ""),
    "decay-below-the-minimum": ("schedule", "learning_rate(11)", ""),
    "tokens-of-one-rank": ("tokens", "tokens", "fsdp"),
    "infinite-gradients-applied": ("skipped", "skipped", ""),
    "sample-from-one-part-of-the-vocabulary": ("logits", "next_logits 1", "tp"),
    "sample-at-another-position": ("logits", "next_logits 2", ""),
    "sample-drawn-from-another-seed": ("logits", "next_logits 4", ""),
}

LATER = {"tokens-counted-after-cutting": "fsdp"}
"""The axis that a later step names: in the first, a third of the tokens is no whole number."""

OF_NUMBERS = {"lr", "schedule", "tokens", "skipped", "logits", "sample"}
"""What is printed and does not spoil the training: nothing else is wrong then."""

OF_OTHER_TOKENS = {
    "mean-of-microbatch-means",
    "loss-across-documents",
    "two-ranks-read-the-same",
    "context-ranks-read-other-rows",
    "phase-ends-a-step-late",
    "microbatches-of-the-first-phase",
    "data-read-again",
    "order-of-its-own",
}
"""Train on other targets, so that their count is the first difference and not the only one."""

OF_TENSORS = {"initial", "gradient", "parameter", "exp_avg", "exp_avg_sq", "adam_step"}
"""Where the loss is wrong first, named tensors are too."""


def test_every_fault_has_an_expectation() -> None:
    assert set(FIRST) == {fault.name for fault in FAULTS}


@pytest.mark.parametrize(
    "need", ["tp", "replicate", "cp", "pp", "tied", "recompute", "window", "accumulation"]
)
def test_every_axis_has_faults_of_its_own(need: Need) -> None:
    assert sum(need in fault.needs for fault in FAULTS) >= 3


def plan_for(fault: Fault) -> PlanSpec:
    return next(spec for has, spec in PLANS if has >= set(fault.needs))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault) -> None:
    plan = compiled(plan_for(fault))
    result = verify(plan, emitted, Asked(fault=fault))
    assert not result.ok
    (twin,) = result.twins
    assert twin.stopped == (), "a fault must show as a number, not as a crash"
    first = twin.differences[0]
    assert (first.observable, first.tensor, first.axis) == FIRST[fault.name]
    if fault.name in LATER:
        assert LATER[fault.name] in {found.axis for found in twin.differences}
    if first.observable not in OF_NUMBERS or fault.name in OF_OTHER_TOKENS:
        assert any(found.observable in OF_TENSORS for found in twin.differences)
    assert first.line, "a difference points to a line of the program"
    is_parameter = first.observable in OF_TENSORS and first.tensor != first.observable
    assert first.origin.startswith("model.") == is_parameter
    assert first.origin in first.text()
    assert first.error > 1e3 * first.bound
    assert math.isfinite(first.error) or first.observable == "sample"
