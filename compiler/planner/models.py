"""What of a model the language has and this version cannot lower."""

from __future__ import annotations

from compiler.problems import NotYet
from compiler.schema import ModelSpec
from compiler.schema.model import ChunkedMask
from dsl.diagnostics import Diagnostic
from dsl.spec import Origins


def check_model(
    block: str, prefix: str, model: ModelSpec, origins: Origins
) -> tuple[Diagnostic, ...]:
    """`prefix` leads from the block to the model: `model.` from a plan, nothing from itself."""
    if not any(isinstance(kind.attention.mask, ChunkedMask) for kind in model.layer.kinds):
        return ()
    problem = NotYet(
        span=origins.span(block, f"{prefix}layer.attention.mask"),
        what="`mask = chunked`",
        instead="`full` or `sliding` in every layer",
    )
    return (problem.diagnostic(),)
