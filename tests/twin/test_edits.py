"""Edits of the emitted text that keep its meaning: no false alarm."""

from __future__ import annotations

import pytest

from llamac.verify.verify import Asked, verify
from tests.twin.layouts import Spread, llama, plan
from tests.twin.programs import compiled, emitted

PLAN = plan(llama(12), Spread(dp=2, fsdp=2, microbatches=3))
TENSOR_PLAN = plan(llama(12), Spread(tp=2))

# what is edited -> (file, old, new); `old` stands everywhere it is replaced
EDITS: dict[str, tuple[str, str, str]] = {
    "a renamed local": ("parallel.py", "squares", "sums_of_squares"),
    "another renamed local": ("train.py", "losses", "each_loss"),
    "independent lines in another order": (
        "train.py",
        "    norm = parallel.clip_gradients(model, model.layout).item()\n"
        "    lr = learning_rate(step)\n",
        "    lr = learning_rate(step)\n"
        "    norm = parallel.clip_gradients(model, model.layout).item()\n",
    ),
    "another log line": (
        "train.py",
        "    lr = learning_rate(step)\n",
        '    lr = learning_rate(step)\n    log.info("step %d at rate %g", step, lr)\n',
    ),
    "a comment": ("data.py", "    ends = ", "    # where a document ends\n    ends = "),
    "a sum by hand": ("train.py", "torch.stack(losses).sum()", "sum(losses, torch.zeros(()))"),
    "factors in another order": ("model.py", "F.silu(gate) * up", "up * F.silu(gate)"),
    "a norm written out": (
        "model.py",
        "    return F.rms_norm(x, weight.shape, weight, eps)\n",
        "    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight\n",
    ),
    "a condition the other way round": (
        "data.py",
        "ends = tokens == SEPARATOR",
        "ends = ~(tokens != SEPARATOR)",
    ),
    "gradients set to zero instead of None": (
        "train.py",
        "    optimizer.zero_grad()\n",
        "    optimizer.zero_grad(set_to_none=False)\n",
    ),
    "a rate by another formula": (
        "train.py",
        "(1 + math.cos(math.pi * progress)) / 2",
        "math.cos(math.pi * progress / 2) ** 2",
    ),
    "a variable inlined": (
        "data.py",
        "first = row + data_rank * MICROBATCH",
        'first = row + coordinate("fsdp") * MICROBATCH',
    ),
}
TENSOR_EDITS: dict[str, tuple[str, str, str]] = {
    "reductions of one tensor at a time": (
        "parallel.py",
        "        total = all_reduce(torch.cat([g.flatten() for g in partial]), axis)\n",
        "        total = torch.cat([all_reduce(g.flatten(), axis) for g in partial])\n",
    ),
    "a logarithm elsewhere": (
        "model.py",
        "(total_reduced.log() - picked_reduced)",
        "(total_reduced / picked_reduced.exp()).log()",
    ),
}


def holds(files: dict[str, str], edit: tuple[str, str, str], plan_name: str) -> None:
    file, old, new = edit
    assert old in files[file], "the edit no longer applies"
    program = {**files, file: files[file].replace(old, new)}
    spec = PLAN if plan_name == "data" else TENSOR_PLAN
    result = verify(compiled(spec), emitted, Asked(program=program))
    assert result.ok, result.twins
    assert result.edited == (f"{file}: edited; the edited text is what was run",)


@pytest.mark.parametrize("name", EDITS)
def test_edit_keeps_the_meaning(name: str) -> None:
    holds(dict(emitted(compiled(PLAN))), EDITS[name], "data")


@pytest.mark.parametrize("name", TENSOR_EDITS)
def test_edit_of_tensor_parallel_text(name: str) -> None:
    holds(dict(emitted(compiled(TENSOR_PLAN))), TENSOR_EDITS[name], "tensor")
