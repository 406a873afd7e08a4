"""attention(q, k, v, ...): the mask is built from positions and documents once per forward."""

from __future__ import annotations

from backends.pytorch.names import Names
from backends.pytorch.operators.call import Call
from backends.pytorch.operators.prepared import Prepared
from compiler.operators import Attention

PATH = "model.layer.attention"

KEPT = (
    "torch.ops.aten.bmm.default",
    "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default",
    "torch.ops.higher_order.flex_attention",
)


def attention(operator: Attention, call: Call) -> str:
    q, k, v = (call.text(index) for index in range(3))
    scale = call.names.set("ATTENTION_SCALE", operator.scale, f"{PATH}.scale")
    if not operator.softcap:
        return f"attention({q}, {k}, {v}, mask, {scale})"
    cap = call.names.set("ATTENTION_SOFTCAP", operator.softcap, f"{PATH}.softcap")
    return f"capped_attention({q}, {k}, {v}, mask, {scale}, {cap})"


def prepare_mask(operator: Attention, names: Names, cuts_sequence: bool) -> Prepared:
    documents = "documents, key_documents" if cuts_sequence else "documents"
    text = f"attention_mask({documents})"
    if operator.window:
        window = names.set("ATTENTION_WINDOW", operator.window, f"{PATH}.mask.window")
        text = f"window_mask({documents}, {window})"
    return Prepared(("mask",), "Mask", "masks", text)
