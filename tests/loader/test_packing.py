"""What a batch holds: targets and documents, against the reference and against the words of the
specification, for all ranks together."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from backends.reference.data import Batch, batch, evaluation_batch, read_corpus
from compiler.schema.train import AdamW, TokenData, TrainSpec
from tests.loader.files import SEPARATOR, any_tokens, write_tokens
from tests.loader.programs import CPU, IGNORE, Layout, Row, Sequences, Setting, World, table

LAYOUTS = {
    "one process": Layout(microbatch=4, microbatches=3),
    "fsdp": Layout(fsdp=3, microbatch=2, microbatches=2),
    "hybrid": Layout("hybrid", replicate=2, fsdp=3, microbatch=2),
    "cp": Layout("cp", replicate=3, cp=2, microbatch=2, microbatches=2),
    "cp3": Layout("cp", replicate=2, cp=3, microbatch=3, microbatches=2),
}
SEQ_LEN = 12
SPEC = TrainSpec(optimizer=AdamW(lr=0.1), data=TokenData(separator=SEPARATOR))


def packing(packed: bool) -> Literal["documents", "concatenate"]:
    return "documents" if packed else "concatenate"


def of_reference(read: Batch, layout: Layout) -> Sequences:
    """Its rows in the order in which the ranks have them: rank after rank, microbatches within."""
    per = layout.dp * layout.microbatch
    order = [
        i * per + dp * layout.microbatch + row
        for dp in range(layout.dp)
        for i in range(layout.microbatches)
        for row in range(layout.microbatch)
    ]
    targets = read.targets.masked_fill(~read.counted, IGNORE)
    tokens, targets, documents = (
        [tuple(rows[i]) for i in order]
        for rows in (table(read.tokens), table(targets), table(read.documents))
    )
    return Sequences(tokens, targets, documents)


@pytest.mark.parametrize("packed", [True, False], ids=packing)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_batches_are_those_of_the_reference(tmp_path: Path, layout: Layout, packed: bool) -> None:
    """Step by step into the third epoch, on corpora with few separators and with many."""
    for seed in range(6):
        draw, folder = random.Random(seed), tmp_path / str(seed)
        tokens = any_tokens(draw, draw.randrange(2, 26) * SEQ_LEN + 1 + draw.randrange(11), 50)
        write_tokens(folder, tokens, draw)
        reference = read_corpus(replace(SPEC, packing=packing(packed)), folder)
        setting = Setting("tokens", SEQ_LEN, seed=seed, vocab=50, packed=packed)
        world = World(setting, layout, folder)
        position, rows = 0, layout.global_batch
        while position < 2 * len(tokens) + SEQ_LEN:
            expected = batch(reference, seed, SEQ_LEN, rows, position, SEQ_LEN)
            assert world.step(position) == of_reference(expected, layout)
            position = world.next_position(position)
        assert position % (rows * SEQ_LEN) == 0


def by_hand(window: Row, packed: bool) -> tuple[list[int], list[int]]:
    """Targets and documents of a sequence and the token after it, cut into documents first."""
    targets, documents = list[int](), list[int]()
    for own, following in pairwise(window):
        ended = packed and own == SEPARATOR
        targets.append(IGNORE if ended else following)
        documents.append(sum(packed and token == SEPARATOR for token in window[: len(documents)]))
    return targets, documents


@pytest.mark.parametrize("packed", [True, False], ids=packing)
@pytest.mark.parametrize(
    ("window", "targets", "documents"),
    [
        # a document of 3, one of 2, and the beginning of one: labels stop at borders
        ((5, 6, 0, 7, 0, 8, 9), (6, 0, -1, 0, -1, 9), (0, 0, 0, 1, 1, 2)),
        # the last token of the sequence ends its document: what follows is no target of it
        ((5, 6, 7, 8, 9, 0, 4), (6, 7, 8, 9, 0, -1), (0, 0, 0, 0, 0, 0)),
        # the separator is only the token after: it is a target
        ((1, 2, 3, 4, 5, 6, 0), (2, 3, 4, 5, 6, 0), (0, 0, 0, 0, 0, 0)),
        # separators alone: empty documents, nothing to learn
        ((0, 0, 0, 0, 0, 0, 3), (-1, -1, -1, -1, -1, -1), (0, 1, 2, 3, 4, 5)),
        # the document before ended just ahead of the sequence
        ((0, 2, 3, 4, 5, 6, 7), (-1, 3, 4, 5, 6, 7), (0, 1, 1, 1, 1, 1)),
    ],
)
def test_borders_of_documents(
    tmp_path: Path, window: Row, targets: Row, documents: Row, packed: bool
) -> None:
    """Written out: `window` is a corpus of one sequence. Concatenated, borders are not seen."""
    assert by_hand(window, True) == ([*targets], [*documents])
    write_tokens(tmp_path / "corpus", window, random.Random(0))
    world = World(Setting("tokens", 6, packed=packed), Layout(), tmp_path / "corpus")
    read = world.step(0)
    expected = (targets, documents) if packed else (window[1:], (0,) * 6)
    assert (read.tokens, read.targets, read.documents) == (
        [window[:6]],
        [expected[0]],
        [expected[1]],
    )


def test_keys_are_the_documents_of_the_whole_sequence(tmp_path: Path) -> None:
    """With context parallelism, in the order in which the ranks' keys are gathered."""
    tokens = (5, 0, 6, 7, 0, 8, 9, 0, 1, 2, 3, 0, 4)
    write_tokens(tmp_path / "corpus", tokens, random.Random(0))
    layout = Layout("cp", cp=3)
    world = World(Setting("tokens", 12), layout, tmp_path / "corpus")
    whole = by_hand(tokens, True)[1]
    pieces = [whole[i : i + 2] for i in range(0, 12, 2)]
    gathered = [n for i in (0, 5, 1, 4, 2, 3) for n in pieces[i]]
    for at, rank in world.ranks.items():
        (read,) = rank.step_batches(world.corpora[at], 0, CPU)
        assert table(read.key_documents) == [gathered]
        assert table(read.documents) == [[*pieces[at[1]], *pieces[5 - at[1]]]]


@pytest.mark.parametrize("packed", [True, False], ids=packing)
@pytest.mark.parametrize(("asked", "sequences"), [(5, 23), (7, 4), (13, 13), (1, 2)])
def test_validation_reads_the_same_sequences_always(
    tmp_path: Path, packed: bool, asked: int, sequences: int
) -> None:
    """Those of the reference, on any layout; where rows are left over, they hold nothing."""
    draw = random.Random(sequences)
    tokens = any_tokens(draw, sequences * SEQ_LEN + 4, 50)
    write_tokens(tmp_path / "corpus", tokens, draw)
    reference = read_corpus(replace(SPEC, packing=packing(packed)), tmp_path / "corpus")
    expected = evaluation_batch(reference, SEQ_LEN, asked)
    targets = table(expected.targets.masked_fill(~expected.counted, IGNORE))
    rows = sorted(zip(table(expected.tokens), targets, strict=True))
    setting = Setting(
        "tokens", SEQ_LEN, packed=packed, evaluates=True, more=(("EVAL_SEQUENCES", asked),)
    )
    for layout in LAYOUTS.values():
        if layout.cp > 1:
            continue
        found: list[tuple[list[int], list[int]]] = []
        for dp in range(layout.dp):
            rank = setting.rank(layout, dp)
            for read in rank.evaluation_batches(rank.Corpus(str(tmp_path / "corpus")), CPU):
                assert len(read.tokens) == layout.microbatch
                found += zip(table(read.tokens), table(read.targets), strict=True)
        empty = [row for row in found if {*row[1]} == {IGNORE}]
        unread = [row for row in empty if row not in rows]
        assert sorted(row for row in found if row not in unread) == rows
        assert len(unread) == len(found) - len(rows)
