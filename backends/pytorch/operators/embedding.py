"""embedding(tokens, weight): a rank that holds some rows of the table makes a partial sum."""

from __future__ import annotations

from backends.pytorch.operators.call import Call


def embedding(call: Call) -> str:
    _, weight = call.arguments
    if weight.layout.cuts(weight.dims[0]):
        return f"embed({call.texts()})"
    return f"F.embedding({call.texts()})"
