"""attention(q, k, v, documents): the mask is built from the documents once a forward."""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from compiler.operators import Attention


def attention(operator: Attention, call: Call) -> str:
    q, k, v = (call.text(index) for index in range(3))
    return f"attention({q}, {k}, {v}, mask, {call.names.own('ATTENTION_SCALE', operator.scale)})"
