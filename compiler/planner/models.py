"""What of a model its formulas or this version cannot take."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.problems.model import EmptyRopeRamp
from compiler.schema import ModelSpec
from compiler.schema.model import ChunkedMask
from dsl.diagnostics import Problem
from dsl.problems.values import NotBuilt
from dsl.spec import Origins
from dsl.suggestions import suggest


def check_model(block: str, prefix: str, model: ModelSpec, origins: Origins) -> tuple[Problem, ...]:
    """`prefix` leads from the block to the model: `model.` from a plan, nothing from itself."""
    attention = f"{prefix}layer.attention"
    return (
        *_masks(block, attention, model, origins),
        *_scalings(block, attention, model, origins),
    )


def _masks(block: str, attention: str, model: ModelSpec, origins: Origins) -> Iterator[Problem]:
    if any(isinstance(kind.attention.mask, ChunkedMask) for kind in model.layer.kinds):
        yield NotBuilt(
            span=origins.span(block, f"{attention}.mask"),
            what="`mask = chunked`",
            remark="`full` or `sliding` in every layer",
            choices=(suggest(origins, block, {f"{attention}.mask": "full"}),),
        )


def _scalings(block: str, attention: str, model: ModelSpec, origins: Origins) -> Iterator[Problem]:
    """Between the two wavelengths of Llama 3's scaling lies a ramp, which divides by high - low."""
    path = f"{attention}.rope.scaling"
    for kind in model.layer.kinds:
        rope = kind.attention.rope
        scaling = None if rope is None else rope.scaling
        if scaling is not None and scaling.high <= scaling.low:
            high, low = origins.span(block, f"{path}.high"), origins.span(block, f"{path}.low")
            yield EmptyRopeRamp(
                span=high,
                high=scaling.high,
                low=scaling.low,
                other_span=None if low == high else low,
                choices=(suggest(origins, block, {f"{path}.high": f"{4 * scaling.low:g}"}),),
            )
