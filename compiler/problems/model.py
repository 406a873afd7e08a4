"""Models that their formulas, or the weights they start from, rule out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compiler.problems.contradiction import Contradiction


@dataclass(frozen=True, kw_only=True)
class EmptyRopeRamp(Contradiction):
    """Llama 3 scales RoPE frequencies between two wavelengths by a ramp that divides by
    `high` - `low`, so `high` must be the larger one. The published models have 4 and 1.
    """

    slug = "empty-rope-ramp"
    title: ClassVar[str] = "`high` of the RoPE scaling must be above its `low`"
    label: ClassVar[str] = (
        "high - low = {high:g} - {low:g} = {width:g}, which the ramp between them divides by"
    )
    other: ClassVar[str] = "low = {low:g}"

    high: float
    low: float

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def usual(self) -> float:
        return 4 * self.low


@dataclass(frozen=True, kw_only=True)
class OtherRotaryPairs(Contradiction):
    """RoPE turns pairs of elements of a head: neighbours (`interleaved`), or an element of the
    first half with one of the second (`half`). The weights of a Hugging Face folder are in the
    order of `half`; read as `interleaved`, they would load and compute something else.
    """

    slug = "other-rotary-pairs"
    title: ClassVar[str] = "the weights of `init_from` are for other rotary pairs"
    label: ClassVar[str] = "Hugging Face folders have heads in the order of `half`"
    other: ClassVar[str] = "the weights"


@dataclass(frozen=True, kw_only=True)
class UnnamedParameter(Contradiction):
    """`init_from` reads a Hugging Face folder, where every parameter has a fixed name. This model
    has a parameter that no such folder holds, so it cannot start from one.
    """

    slug = "unnamed-parameter"
    title: ClassVar[str] = "no Hugging Face folder holds the weights of this model"
    label: ClassVar[str] = "none has a tensor for `{parameter}`"
    other: ClassVar[str] = "the model"

    parameter: str
