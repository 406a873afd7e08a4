"""Where two models differ: by path, with the values of both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from compiler.schema.model import LayerSpec, ModelSpec
from dsl.canonical import IS, Json, to_json

Scalar = bool | int | float | str | None

NOT_COMPUTED: Final = frozenset({"init.std"})
"""Rows that no forward pass reads."""

CLOSE: Final = 1e-9
"""Formulas of one number (`1 / head_dim ** 0.5`) may round differently."""


@dataclass(frozen=True)
class Difference:
    """`layer` is the first layer concerned, of `layers` in all; None outside the layers."""

    path: str
    first: Scalar
    second: Scalar
    layer: int | None = None
    layers: int = 0


def differences(first: ModelSpec, second: ModelSpec) -> tuple[Difference, ...]:
    """In the order of the schema. `gqa`, `mha` and `mqa` of equal heads are equal."""
    found = [
        Difference(path, a, b)
        for path, a, b in _unlike(_flat(first), _flat(second))
        if path not in NOT_COMPUTED
    ]
    by_path: dict[str, Difference] = {}
    for index, (own, other) in enumerate(zip(_layers(first), _layers(second), strict=False)):
        for path, a, b in _unlike(own, other):
            known = by_path.setdefault(path, Difference(path, a, b, index))
            by_path[path] = Difference(
                path, known.first, known.second, known.layer, known.layers + 1
            )
    return (*found, *by_path.values())


def _flat(model: ModelSpec) -> dict[str, Scalar]:
    rows = to_json(model)
    if not isinstance(rows, dict):
        raise TypeError("a model is an object")
    return dict(_leaves("", {name: row for name, row in rows.items() if name != "layer"}))


def _layers(model: ModelSpec) -> Iterator[dict[str, Scalar]]:
    kinds = [_flat_layer(kind) for kind in model.layer.kinds]
    return (kinds[kind] for kind in model.layer.indices)


def _flat_layer(layer: LayerSpec) -> dict[str, Scalar]:
    leaves = dict(_leaves("layer", to_json(layer)))
    return leaves | {"layer.attention": "gqa"}


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Scalar]]:
    """Every row below `value`; an entry itself stands for its name."""
    match value:
        case dict():
            for name, row in value.items():
                yield from _leaves(path if name == IS else f"{path}.{name}".lstrip("."), row)
        case list():
            yield path, str(value)
        case _:
            yield path, value


def _unlike(
    own: Mapping[str, Scalar], other: Mapping[str, Scalar]
) -> Iterator[tuple[str, Scalar, Scalar]]:
    """Rows of an entry that only one has are reported by the entry's own name."""
    for path in own:
        if path in other and not _same(own[path], other[path]):
            yield path, own[path], other[path]


def _same(a: Scalar, b: Scalar) -> bool:
    if isinstance(a, float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=CLOSE)
    return a == b
