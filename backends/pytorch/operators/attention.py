"""attention(q, k, v, ...): the mask is built from positions and documents once per forward."""

from __future__ import annotations

from backends.pytorch.operators.call import Call
from backends.pytorch.operators.prepared import Prepared
from compiler.operators import Attention

SAVED = (
    "torch.ops.aten.bmm.default",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default",
    "torch.ops.higher_order.flex_attention",
)


def attention(operator: Attention, call: Call) -> str:
    q, k, v = (call.text(index) for index in range(3))
    scale = call.constant("ATTENTION_SCALE", operator.scale, "scale")
    if not operator.softcap:
        return f"attention({q}, {k}, {v}, mask, {scale})"
    cap = call.constant("ATTENTION_SOFTCAP", operator.softcap, "softcap")
    return f"capped_attention({q}, {k}, {v}, mask, {scale}, {cap})"


def prepare_mask(operator: Attention, call: Call, cuts_sequence: bool) -> Prepared:
    documents = "documents, key_documents" if cuts_sequence else "documents"
    text = f"attention_mask({documents})"
    if operator.window:
        window = call.constant("ATTENTION_WINDOW", operator.window, "mask.window")
        text = f"window_mask({documents}, {window})"
    return Prepared(("mask",), "Mask", "masks", text)
