"""MEANING in config.py: the settings that determine what a run learns, by their path in the spec.

A setting that a constant holds is written as that constant, so an edit of it is noticed on
resuming. A setting that only the text of the program expresses (the mask, which pairs rotate) is
written as its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from compiler.meaning import Value, meaning
from compiler.schema import PlanSpec

BY_PHASE = frozenset({"train.steps", "train.seq_len", "train.global_batch"})
"""Constants of these are one phase's; the rows of the run are those of all phases."""


def meaning_rows(
    spec: PlanSpec, constants: Iterable[tuple[str, str]], phased: bool
) -> Iterator[tuple[str, str | Value, bool]]:
    """(path, value, whether it is the name of constants). `constants` are (name, path)."""
    rows: dict[str, Value] = meaning(spec)
    if not phased:
        rows["train.steps"] = rows.pop("train.tokens", 0)
    names: dict[str, list[str]] = {}
    for name, path in constants:
        if path in rows or _of_kind(name, path) in rows:
            names.setdefault(path if path in rows else _of_kind(name, path), []).append(name)
    held: Mapping[str, str] = {
        path: found[0] if len(found) == 1 else f"({', '.join(found)})"
        for path, found in names.items()
        if not (phased and path in BY_PHASE)
    }
    for path, value in rows.items():
        yield path, held.get(path, value), path in held


def _of_kind(name: str, path: str) -> str:
    """`HEADS_1` holds `model.layer[1].attention.heads`."""
    kind = re.search(r"_(\d+)$", name)
    return path.replace("model.layer.", f"model.layer[{kind[1]}].", 1) if kind else path
