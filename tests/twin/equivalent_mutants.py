"""Mutants that no check of numbers can tell from the program, each with the reason.

The key is a pattern of the mutant's own: `file place: line before -> line after`.
"""

from __future__ import annotations

import re

EQUIVALENT: tuple[tuple[str, str], ...] = (
    (r"Watchdog\.(reset\(\)|idle = )", "seconds of patience: no number of the training"),
    (r"fused=False", "the same formula in another kernel"),
    (r"^data\.py Corpus\.__init__: if self\.sequences < ", "only what is refused differs"),
    (r"strict=False", "only what is equally long is zipped: `strict` asserts it"),
    (
        r"set_reshard_after_backward\(.* -> pass",
        "without it parameters are gathered at other times; the dry run counts collectives",
    ),
    (
        r"^parallel\.py reduce_after_backward: .*set_reshard_after_backward\(now or",
        "parameters are gathered at other times; the dry run counts collectives",
    ),
)


def reason(key: str) -> str:
    return next((why for pattern, why in EQUIVALENT if re.search(pattern, key)), "")
