"""Mutants that no check of numbers can tell from the program, each with the reason.

An entry is the layout that it holds for ('' for all), a pattern of the mutant's key (`file place:
line before -> line after`), and the reason.
"""

from __future__ import annotations

import re

TRAFFIC = "the same sums and weights at other times; the dry run counts collectives"
ONE_DATA_RANK = "the layout has one data rank, over which nothing is summed, and whose number is 0"
ONE_MICROBATCH = "the layout has one microbatch a step, whose number is 0"
ONE_FSDP_RANK = "the layout has one rank of fsdp, which holds every row"
WHOLE_SEQUENCES = "differs only for a corpus of whole sequences, as layouts with validation have"
ONE_RING = "the ranks of cp are those of fsdp, and all that there are"
ONE_PRECISION = "the twin computes in float64 throughout, where a cast does nothing"
ONE_ROW = "the dimension has one element, or the tensor one dimension"
PAST_THE_END = "a slice may end past its tensor, which cuts it"
REFUSED = "only what is refused differs, and the twin's data are right"
STARTED = "a start without a group ends at its first collective; ranks of a twin have one before"

EQUIVALENT: tuple[tuple[str, str, str], ...] = (
    (
        "",
        r"Watchdog(\.reset\(\)|\.idle = |: idle = )",
        "seconds of patience: no number of the training",
    ),
    ("", r"TORCH_FR_BUFFER_SIZE", "what a hang is described by"),
    ("", r"fused=False", "the same formula in another kernel"),
    ("", r"use_reentrant=True", "the same recomputation by another part of torch"),
    ("", r"cast_forward_inputs=True", ONE_PRECISION),
    ("", r"set_force_sum_reduction_for_comms\(", "with a divisor of 1, the same sum"),
    ("", r"^data\.py Corpus\.__init__: if self\.sequences < ", REFUSED),
    ("", r"^data\.py Corpus\.read: if .*>= VOCAB: -> .*> VOCAB:", REFUSED),
    ("", r"^data\.py files_of: .* followlinks=False", "differs only for data behind a link"),
    ("", r"strict=False", "only what is equally long is zipped: `strict` asserts it"),
    ("", r"set_reshard_after_backward\(.* -> pass", TRAFFIC),
    ("", r"set_requires_gradient_sync\(now\) -> pass", TRAFFIC),
    ("", r"^parallel\.py reduce_after_backward: .*set_reshard_after_backward\(now or", TRAFFIC),
    ("", r"^parallel\.py shard: last = i == len\(blocks\)", TRAFFIC),
    ("", r"^parallel\.py shard: reshard = ", TRAFFIC),
    ("", r"^parallel\.py shard: fully_shard\(block, .* -> pass", TRAFFIC),
    ("", r"^parallel\.py shard: fully_shard\(model, .* -> .*forward=True", TRAFFIC),
    ("", r"reshard\(\) -> pass|parallel\.reshard\(model\) -> pass", TRAFFIC),
    ("", r"^train\.py train_step: parallel\.reduce_after_backward\(.* -> pass", TRAFFIC),
    ("", r"^parallel\.py connect: dist\.init_process_group\(.* -> pass", STARTED),
    ("", r"^parallel\.py connect: if not dist\.is_initialized\(\): -> if dist", STARTED),
    (
        "",
        r"valid\.clamp\(min=1\) -> .*clamp\(min=[02]\)|max\(valid, 1\) -> .*max\(valid, [02]\)",
        "differs only in a global batch of one target or none",
    ),
    (
        "",
        r"^data\.py shuffled: half = max\(1, .* -> half = max\(0, ",
        "differs only for a corpus of one block, which has one place",
    ),
    (
        "",
        r"^train\.py learning_rate: if t <= config\.WARMUP: -> if t < ",
        "the schedule is at its peak when it begins and when the warm-up ends",
    ),
    ("", r"\.split\(LOSS_CHUNK, dim=0\)", "the loss sums over all pieces, however they are cut"),
    (
        "",
        r"^parallel\.py connect: place = .*\)\[0\].* -> .*\)\[-1\]",
        "a rank stands in a mesh once",
    ),
    ("", r"o\.flatten\(-2\), .* -> .*o\.flatten\(2\), ", "the same dimension"),
    ("", r"\.softmax\(0\) -> .*\.softmax\(-1\)", ONE_ROW),
    ("", r"^model\.py Model\.next_logits: .*\[0, .* -> .*\[-1, ", ONE_ROW),
    ("", r"^model\.py Model\.next_logits: .*, 'tp', 0\) -> .*, 'tp', -1\)", ONE_ROW),
    ("", r"^train\.py next_logits: tokens\[0, .* -> tokens\[-1, ", ONE_ROW),
    ("", r"^train\.py next_logits: .*torch\.full\(\(2, ", "a row more, which is not looked at"),
    ("", r"^model\.py pick: .* -> .*\[\.\.\., -1\]$", ONE_ROW),
    ("", r"^model\.py pick: .* -> .*masked_fill\(elsewhere, 1\)", "what is picked is masked"),
    (
        "",
        r"^data\.py head_and_tail: .*flip\(0\).* -> .*(flip\(-?1\)|dim=0)",
        "other tokens on each rank, of which positions and targets follow; the sums are the same",
    ),
    (
        "",
        r"^parallel\.py local_slices: sizes\[0\] = .* -> .*sizes\[0\] \+ first\)",
        PAST_THE_END,
    ),
    ("", r"^train\.py initialize: part = .* -> .*last \+ top", PAST_THE_END),
    (
        "zero1",
        r"^train\.py initialize: .* -> for block in range\(rows\.start, ",
        "every rank holds whole parameters, whose rows start at 0",
    ),
    ("", r"^data\.py Corpus\.__init__: if int\(self\.read.* == SEPARATOR:$", "only a warning"),
    *(
        (
            layout,
            r"^data\.py Corpus\.__init__: self\.sequences = .* -> .*( \+ 1| - 0)\) // SEQ_LEN$",
            WHOLE_SEQUENCES,
        )
        for layout in ("fsdp2", "zero1", "kv-copies")
    ),
    ("cp3", r"^train\.py train_step: last = ", "the layout reduces after every microbatch"),
    ("cp3", r"^data\.py step_batches: rows = rows_of\(i", ONE_MICROBATCH),
    ("tp2", r"^data\.py step_batches: rows = rows_of\(i", ONE_MICROBATCH),
    ("zero1", r"^data\.py step_batches: rows = rows_of\(i", ONE_MICROBATCH),
    ("cp3", r"^data\.py rows_of: .*data_rank", ONE_DATA_RANK),
    ("tp2", r"^data\.py rows_of: .*data_rank", ONE_DATA_RANK),
    ("kv-copies", r"^data\.py rows_of: .*data_rank", ONE_DATA_RANK),
    ("cp3", r"^parallel\.py connect: add_mesh\(device, ranks\.movedim", ONE_RING),
    ("cp3", r"'cp', .* -> .*'fsdp', |'cp'\)\] -> .*'fsdp'\)\]$|'fsdp'\).* -> .*'cp'\)", ONE_RING),
    ("pp3", r"parallel\.all_reduce_data\(.* -> ", ONE_DATA_RANK),
    ("tp2", r"parallel\.all_reduce_data\(.* -> ", ONE_DATA_RANK),
    ("kv-copies", r"parallel\.all_reduce_data\(.* -> ", ONE_DATA_RANK),
    ("tp2", r"^parallel\.py clip_gradients: .*'fsdp'\).* -> norm = torch\.stack", ONE_DATA_RANK),
    ("tp2", r"set_gradient_divide_factor\(1\.0\) -> pass", ONE_DATA_RANK),
    ("tp2", r"^parallel\.py local_slices: first = min\(coordinate\('fsdp'\)", ONE_FSDP_RANK),
    (
        "tp2",
        r"^parallel\.py local_slices: rows = .* -> rows = math.ceil\(sizes\[0\]\)",
        ONE_FSDP_RANK,
    ),
    ("tp2", r"^parallel\.py local_slices: (starts|sizes)\[0\] .* -> pass", ONE_FSDP_RANK),
    ("tp2", r"^parallel\.py connect: ranks = .*transpose\(-1, -2\) -> .*\(1, -2\)", "the same"),
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
