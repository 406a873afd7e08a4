"""add, swiglu_gate"""

from __future__ import annotations

from backends.pytorch.operators.call import Call


def add(call: Call) -> str:
    return f"{call.text(0)} + {call.text(1)}"


def swiglu_gate(call: Call) -> str:
    return f"F.silu({call.text(0)}) * {call.text(1)}"
