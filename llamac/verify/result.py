"""What a verification found: plain values, and how they read as text and as JSON.

The JSON keys are a contract: `ok`, `layers`, `twins[]` (`sizes`, `ranks`), `observables[]`
(`name`, `worst_tensor`, `error`, `bound`), `differences[]`, `unexecuted[]`. An
error that is no finite number (a tensor missing, NaN) is null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llamac.verify.unexecuted import Unexecuted

Status = Literal["verified", "different", "not built"]


@dataclass(frozen=True)
class Observable:
    """One kind of quantity (loss, gradients, ...): where it differs most, and by how much.

    error is max|a - b| / max|b| over the worst tensor; step counts from 1.
    """

    name: str
    tensor: str
    step: int
    error: float
    bound: float

    @property
    def within(self) -> bool:
        return self.error <= self.bound


@dataclass(frozen=True)
class Difference:
    """A tensor out of bound. `axis` is the mesh axis that it points to, '' if none stands out;
    `why` says how, `line` where the program computes it, `origin` which component of the spec it
    belongs to: `model.layer.attention (gqa)`, '' for what belongs to none."""

    observable: str
    tensor: str
    axis: str
    why: str
    line: str
    step: int
    rank: int
    error: float
    bound: float
    origin: str = ""

    def text(self) -> str:
        name = self.tensor if self.tensor == self.observable else f"{self.observable} {self.tensor}"
        why = f": {self.why}" if self.why else ""
        origin = f", of {self.origin}" if self.origin else ""
        return (
            f"{name}{origin}, step {self.step}, rank {self.rank}: "
            f"error {self.error:.1e}, bound {self.bound:.0e}{why}"
        )


@dataclass(frozen=True)
class Stopped:
    """A rank of the program crashed or hung: not a number, but no less a difference."""

    rank: int
    message: str

    def text(self) -> str:
        return f"rank {self.rank}: {self.message}"


@dataclass(frozen=True)
class TwinResult:
    """One twin, executed; `executed` has the lines of each file that some rank ran."""

    sizes: tuple[tuple[str, int], ...]
    ranks: int
    device: str
    seconds: float
    observables: tuple[Observable, ...]
    differences: tuple[Difference, ...]
    stopped: tuple[Stopped, ...]
    executed: Mapping[str, frozenset[int]] = field(default_factory=dict[str, frozenset[int]])

    @property
    def ok(self) -> bool:
        return not self.differences and not self.stopped


@dataclass(frozen=True)
class Layer:
    """One layer of the check: lowering, proof, text, twin."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Verification:
    """All layers of one plan."""

    layers: tuple[Layer, ...]
    twins: tuple[TwinResult, ...]
    edited: tuple[str, ...]
    unexecuted: tuple[Unexecuted, ...] = ()

    @property
    def ok(self) -> bool:
        return all(layer.status != "different" for layer in self.layers)

    def observables(self) -> tuple[Observable, ...]:
        """The worst of all twins, by name in the order of execution."""
        worst: dict[str, Observable] = {}
        for twin in self.twins:
            for observable in twin.observables:
                known = worst.get(observable.name)
                if known is None or observable.error > known.error:
                    worst[observable.name] = observable
        return tuple(worst.values())


def as_json(result: Verification) -> dict[str, object]:
    """The documented form."""
    return {
        "ok": result.ok,
        "layers": [
            {"name": layer.name, "status": layer.status, "detail": layer.detail}
            for layer in result.layers
        ],
        "twins": [
            {
                "sizes": dict(twin.sizes),
                "ranks": twin.ranks,
                "device": twin.device,
                "seconds": round(twin.seconds, 2),
                "ok": twin.ok,
            }
            for twin in result.twins
        ],
        "observables": [
            {
                "name": observable.name,
                "worst_tensor": observable.tensor,
                "step": observable.step,
                "error": _finite(observable.error),
                "bound": observable.bound,
            }
            for observable in result.observables()
        ],
        "differences": [
            {
                "observable": difference.observable,
                "tensor": difference.tensor,
                "axis": difference.axis,
                "why": difference.why,
                "line": difference.line,
                "origin": difference.origin,
                "step": difference.step,
                "rank": difference.rank,
                "error": _finite(difference.error),
                "bound": difference.bound,
            }
            for twin in result.twins
            for difference in twin.differences
        ],
        "stopped": [
            {"rank": stop.rank, "message": stop.message}
            for twin in result.twins
            for stop in twin.stopped
        ],
        "edited": list(result.edited),
        "unexecuted": [
            {"file": one.file, "place": one.place, "line": one.line, "reason": one.reason}
            for one in result.unexecuted
        ],
    }


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


SHOWN = 12
"""Differences listed in text; the rest is counted (a wrong norm touches every parameter)."""


def as_text(result: Verification) -> str:
    """For people: the layers, the sizes that ran, the worst tensor of each observable."""
    lines = [f"{layer.name:<10} {layer.status:<10} {layer.detail}" for layer in result.layers]
    for twin in result.twins:
        sizes = "  ".join(f"{name} {size}" for name, size in twin.sizes)
        lines += [
            "",
            f"twin on {twin.ranks} {twin.device} processes, {twin.seconds:.1f} s: {sizes}",
        ]
        lines += [
            f"  {o.name:<18} worst {o.error:.1e}  bound {o.bound:.0e}  {o.tensor} (step {o.step})"
            for o in twin.observables
        ]
        if twin.differences:
            lines.append(f"  first at {twin.differences[0].line or 'an unknown line'}")
        lines += [f"  different: {difference.text()}" for difference in twin.differences[:SHOWN]]
        if len(twin.differences) > SHOWN:
            lines.append(f"  and {len(twin.differences) - SHOWN} more")
        lines += [f"  stopped: {stop.text()}" for stop in twin.stopped]
    unlisted = [one for one in result.unexecuted if not one.reason]
    counts = f"{len(result.unexecuted)}, {len(unlisted)} of them without a known reason"
    lines += ["", f"statements that no twin executed: {counts}"]
    lines += [f"  not executed: {one.text()}" for one in unlisted]
    if result.edited:
        lines += ["", *(f"edited: {line}" for line in result.edited)]
    lines += ["", "verified" if result.ok else "NOT verified: the program differs from its spec"]
    return "\n".join(lines) + "\n"
