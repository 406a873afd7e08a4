"""Which statements count as executed, and which have a reason not to be."""

from __future__ import annotations

from llamac.verify.unexecuted import unexecuted

MODEL = '''"""A model."""


def attention(x, mask):
    """The seam."""
    if isinstance(mask, Tensor):
        return dense(x)
    return flex(x)


def idle(x):
    return x


def step(x):
    if x:
        x = (
            1
        )
        return x
    raise ValueError(x)
'''
TRAIN = """def build(device):
    if config.COMPILE:
        for block in blocks:
            block.compile()
    return helper(device)


def helper(device):
    if device:
        return 1
    return 2


def main():
    return build(0)
"""


def test_only_the_outermost_statements_are_named() -> None:
    files = {"model.py": MODEL, "train.py": TRAIN}
    found = unexecuted(files, {"model.py": {6, 7, 16, 18, 20}, "train.py": {2, 5, 9, 11}})
    named = {(one.file, one.place, one.line): bool(one.reason) for one in found}
    assert named == {
        ("model.py", "attention", "return flex(x)"): True,  # an accelerator's
        ("model.py", "", "def idle(x):"): False,
        ("model.py", "step", "raise ValueError(x)"): True,
        ("train.py", "build", "for block in blocks:"): True,
        ("train.py", "helper", "return 1"): False,
    }


def test_all_that_ran_is_not_named() -> None:
    assert unexecuted({"model.py": MODEL}, {"model.py": {*range(30)}}) == ()
