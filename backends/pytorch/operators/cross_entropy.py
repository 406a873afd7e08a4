"""The loss over a whole vocabulary, and its parts where the vocabulary is cut."""

from __future__ import annotations

from backends.pytorch.operators.call import Call


def cross_entropy(call: Call) -> str:
    return f"cross_entropy({call.texts()})"


def maximum(call: Call) -> str:
    return f"{call.text(0)}.detach().amax(-1)"


def subtract_maximum(call: Call) -> str:
    """From here on in the accumulation dtype."""
    return f"{call.text(0)}.to(ACCUMULATE) - {call.text(1)}[..., None]"


def sum_exp(call: Call) -> str:
    return f"{call.text(0)}.exp().sum(-1)"


def pick(call: Call) -> str:
    return f"pick({call.texts()})"


def negative_log_likelihood(call: Call) -> str:
    total, picked, targets = (call.text(index) for index in range(3))
    return f"({total}.log() - {picked}).masked_fill({targets} == IGNORE, 0).sum()"
