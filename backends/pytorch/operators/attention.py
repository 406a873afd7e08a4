"""attention(q, k, v, ...): the mask is built from positions and documents once a forward."""

from __future__ import annotations

from backends.pytorch.names import Names
from backends.pytorch.operators.call import Call
from compiler.operators import Attention


def attention(operator: Attention, call: Call) -> str:
    q, k, v = (call.text(index) for index in range(3))
    scale = call.names.own("ATTENTION_SCALE", operator.scale)
    if not operator.softcap:
        return f"attention({q}, {k}, {v}, mask, {scale})"
    cap = call.names.own("ATTENTION_SOFTCAP", operator.softcap)
    return f"capped_attention({q}, {k}, {v}, mask, {scale}, {cap})"


def mask(operator: Attention, names: Names, cuts_sequence: bool) -> str:
    """The expression of the mask of one kind of layer, in the model's forward."""
    documents = "documents, key_documents" if cuts_sequence else "documents"
    if not operator.window:
        return f"attention_mask({documents})"
    return f"window_mask({documents}, {names.own('ATTENTION_WINDOW', operator.window)})"
