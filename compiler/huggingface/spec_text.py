"""A model as a person would write it: what differs from defaults and formulas, nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compiler.schema.model import LayerSpec, Mask, ModelSpec, SlidingMask
from dsl.schema import NoDefault, entry_name, fields_of
from dsl.spelled import spelled

LINE_LENGTH = 100
LONGEST_PERIOD = 12
PLACED = ("layer", "head", "embedding", "init")
"""Rows of a model that are refined in place: `head { tied = true }`."""


def model_text(name: str, model: ModelSpec) -> str:
    """`model NAME { ... }`, which reads back as the same model. Its layers may differ in what they
    see, as those of every family do; raises ValueError where they differ in more."""
    masks = [model.layer.kinds[kind].attention.mask for kind in model.layer.indices]
    usual = _usual(masks)
    lines = [f"model {name} {{"]
    plain = {row: getattr(model, row) for row in fields_of(type(model)) if row not in PLACED}
    lines += _assignments(_changed(type(model), plain), 1)
    lines += _layer(model, usual)
    for mask in dict.fromkeys(masks):
        if mask != usual:
            where = condition([i for i, own in enumerate(masks) if own == mask], len(masks))
            lines.append(f"  layer where {where} {{ attention {{ mask = {spelled(mask)} }} }}")
    for row in PLACED[1:]:
        body = _body(getattr(model, row), _derived(model))
        if body:
            lines.append(f"  {row} {{ {', '.join(body)} }}")
    return "\n".join([*lines, "}", ""])


def condition(indices: Collection[int], layers: int) -> str:
    """Of `i`, true for these layers and no others: the shortest form that says it."""
    wanted = {*indices}

    def says(*chosen: int) -> bool:
        return wanted == {*chosen}

    every = range(layers)
    for k in every:
        if says(*every[k:]):
            return f"i >= {k}"
        if says(*every[:k]):
            return f"i < {k}"
    for period in range(2, min(layers, LONGEST_PERIOD) + 1):
        for rest in range(period):
            if says(*(i for i in every if i % period == rest)):
                return f"i % {period} == {rest}"
            if says(*(i for i in every if i % period != rest)):
                return f"i % {period} != {rest}"
    return f"i in [{', '.join(map(str, sorted(wanted)))}]"


def _usual(masks: list[Mask]) -> Mask:
    """What the layers see that no clause picks out: everything, where any of them does."""
    return next((mask for mask in masks if not isinstance(mask, SlidingMask)), masks[0])


def _layer(model: ModelSpec, usual: Mask) -> list[str]:
    kind = model.layer.kinds[0]
    for other in model.layer.kinds[1:]:
        if _but_mask(other) != _but_mask(kind):
            raise ValueError("layers differ in more than what they see")
    rows = {**vars(kind.attention), "mask": usual}
    attention = _changed(type(kind.attention), rows, _derived(model))
    lines = ["  layer {", f"    attention = {entry_name(type(kind.attention))} {{"]
    lines += [*_assignments(attention, 3), "    }"]
    lines += _assignments(_changed(type(kind), {"ffn": kind.ffn, "norms": kind.norms}), 2)
    return [*lines, "  }"]


def _but_mask(kind: LayerSpec) -> dict[str, object]:
    return {**vars(kind), "attention": {**vars(kind.attention), "mask": None}}


def _derived(model: ModelSpec) -> Mapping[str, tuple[object, str]]:
    """Row -> a value, and the formula that stands for it; an empty one need not be written."""
    attention = model.layer.kinds[0].attention
    whole = model.d_model == attention.heads * attention.head_dim
    per_head = round(attention.scale**-2)
    named = attention.scale == 1 / attention.head_dim**0.5
    found: dict[str, tuple[object, str]] = {}
    if whole:
        found["head_dim"] = (attention.head_dim, "")
    if attention.scale == 1 / per_head**0.5:
        found["scale"] = (attention.scale, "" if named else f"1 / {per_head} ** 0.5")
    if model.embedding.scale == model.d_model**0.5:
        found["embedding"] = (model.embedding.scale, "d_model ** 0.5")
    return found


def _changed(
    entry: type, rows: Mapping[str, object], derived: Mapping[str, tuple[object, str]] | None = None
) -> dict[str, str]:
    """Row -> text, of rows that have another value than they would without being written."""
    texts: dict[str, str] = {}
    for name, row in fields_of(entry).items():
        if name not in rows or rows[name] == row.default:
            continue
        value, formula = (derived or {}).get(name, (NoDefault.NO_DEFAULT, ""))
        if value != rows[name]:
            texts[name] = spelled(rows[name])
        elif formula:
            texts[name] = formula
    return texts


def _assignments(texts: Mapping[str, str], level: int) -> list[str]:
    width = max(map(len, texts), default=0)
    return [f"{'  ' * level}{name:<{width}} = {text}" for name, text in texts.items()]


def _body(entry: object, derived: Mapping[str, tuple[object, str]] | None = None) -> list[str]:
    """`row = value` of what an entry changes. The embedding's own `scale` has a formula too."""
    known = dict(derived or {})
    known["scale"] = known.get("embedding", (NoDefault.NO_DEFAULT, ""))
    return [f"{row} = {text}" for row, text in _changed(type(entry), vars(entry), known).items()]
