"""Mutants that no check of numbers can tell from the program, each with the reason.

An entry is the layout that it holds for ('' for all), a pattern of the mutant's key (`file place:
line before -> line after`), and the reason.
"""

from __future__ import annotations

import re

TRAFFIC = "the same sums and weights at other times; the dry run counts collectives"

ONE_DATA_RANK = "the layout has one data rank, over which nothing is summed"

EQUIVALENT: tuple[tuple[str, str, str], ...] = (
    ("", r"Watchdog\.(reset\(\)|idle = )", "seconds of patience: no number of the training"),
    ("", r"fused=False", "the same formula in another kernel"),
    ("", r"^data\.py Corpus\.__init__: if self\.sequences < ", "only what is refused differs"),
    ("", r"strict=False", "only what is equally long is zipped: `strict` asserts it"),
    ("", r"set_reshard_after_backward\(.* -> pass", TRAFFIC),
    ("", r"^parallel\.py reduce_after_backward: .*set_reshard_after_backward\(now or", TRAFFIC),
    ("", r"^parallel\.py shard: last = i == len\(blocks\)", TRAFFIC),
    ("", r"^train\.py train_step: parallel\.reduce_after_backward\(.* -> pass", TRAFFIC),
    (
        "",
        r"^parallel\.py connect: dist\.init_process_group\(.* -> pass",
        "a start without a group ends at its first collective; ranks of a twin have one before",
    ),
    (
        "",
        r"valid\.clamp\(min=1\) -> .*valid\.clamp\(min=[02]\)",
        "differs only in a global batch of one target or none",
    ),
    (
        "",
        r"^data\.py shuffled: half = max\(1, .* -> half = max\(2, ",
        "differs only for a corpus of at most four blocks",
    ),
    ("pp3", r"parallel\.all_reduce_data\(.* -> ", ONE_DATA_RANK),
    ("tp2", r"parallel\.all_reduce_data\(.* -> ", ONE_DATA_RANK),
    (
        "tp2",
        r"^parallel\.py local_slices: first = min\(coordinate\('fsdp'\)",
        "the layout has one rank of fsdp, whose coordinate is 0",
    ),
)


def reason(layout: str, key: str) -> str:
    """Why a mutant of this layout may survive; '' if nothing explains it."""
    return next(
        (
            why
            for only, pattern, why in EQUIVALENT
            if only in ("", layout) and re.search(pattern, key)
        ),
        "",
    )
