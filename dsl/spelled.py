"""Checked values back to text: what a person would write for them in a spec."""

from __future__ import annotations

from typing import cast

from dsl.schema import Auto, Count, entry_name, fields_of, is_entry

GROUPED = 10_000
"""From this number on digits are grouped: `14_336`."""
SUFFIXES = {10**9: "G", 2**20: "Mi"}
"""Multiples of these are written with the suffix: `100G`, `4Mi`."""


def spelled(value: object) -> str:
    """The text of a value. Texts are taken for words (`half`), which need no quotes."""
    match value:
        case None:
            return "none"
        case Auto():
            return "auto"
        case bool():
            return "true" if value else "false"
        case Count(value=number, word=word):
            return f"{spelled(number)} {word}"
        case int():
            return _whole(value)
        case float():
            return spelled(int(value)) if value.is_integer() and value < 1e15 else _float(value)
        case str():
            return value
        case tuple():
            return f"[{', '.join(map(spelled, cast(tuple[object, ...], value)))}]"
        case _:
            if not is_entry(type(value)):
                raise TypeError(f"no row holds a {type(value).__name__}")
            return _component(value)


def _whole(value: int) -> str:
    for unit, suffix in SUFFIXES.items():
        if value > 0 and value % unit == 0:
            return f"{value // unit}{suffix}"
    return f"{value:_}" if value >= GROUPED else str(value)


def _float(value: float) -> str:
    """`1e-5`, not `1e-05`."""
    mantissa, exponent, power = repr(value).partition("e")
    return f"{mantissa}{exponent}{int(power)}" if exponent else mantissa


def _component(entry: object) -> str:
    """`swiglu(14_336)`, `rms { eps = 1e-6, unit_offset = true }`."""
    rows = {
        name: spelled(getattr(entry, name))
        for name, row in fields_of(type(entry)).items()
        if getattr(entry, name) != row.default
    }
    placed = [name for name, row in fields_of(type(entry)).items() if row.row.positional]
    name = entry_name(type(entry))
    if [*rows] == placed and placed:
        return f"{name}({', '.join(rows.values())})"
    body = ", ".join(f"{row} = {text}" for row, text in rows.items())
    return f"{name} {{ {body} }}" if body else name
