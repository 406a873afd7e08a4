"""The ledger: whatever befalls a run, every place of the corpus is read once an epoch."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.loader.files import SEPARATOR, countable, write_tokens
from tests.loader.programs import IGNORE, Layout, Row, Sequences, Setting, World

HISTORIES = 50


def layouts(global_batch: int, seq_len: int) -> list[Layout]:
    """Every way to deal the rows of a step out to at most twelve processes."""
    found: list[Layout] = []
    for dp in (d for d in range(1, 7) if global_batch % d == 0):
        rows = global_batch // dp
        for microbatch in (m for m in range(1, rows + 1) if rows % m == 0):
            shape = microbatch, rows // microbatch
            found.append(Layout("fsdp", 1, dp, 1, *shape))
            found += [Layout("hybrid", n, dp // n, 1, *shape) for n in (2, 3) if dp % n == 0]
            found += [
                Layout("cp", dp, 1, cp, *shape)
                for cp in (2, 3)
                if seq_len % (2 * cp) == 0 and dp * cp <= 12
            ]
    return found


class Ledger:
    """What every step has read, and how often every sequence of the corpus was read."""

    def __init__(self, tokens: list[int], seq_len: int) -> None:
        self.tokens, self.seq_len = tokens, seq_len
        self.sequences = (len(tokens) - 1) // seq_len
        self.steps: dict[int, Counter[int]] = {}

    def enter(self, step: int, read: Sequences) -> None:
        """A step that was read before must be the same again, whoever reads it."""
        starts = Counter(self.start_of(row) for row in read.tokens)
        for tokens, targets, documents in zip(
            read.tokens, read.targets, read.documents, strict=True
        ):
            self.check(self.start_of(tokens), tokens, targets, documents)
        assert self.steps.setdefault(step, starts) == starts

    def start_of(self, row: Row) -> int:
        """Where it stands: the first of two neighbours that ends no document tells."""
        at = 0 if row[0] != SEPARATOR else 1
        return row[at] - 1 - at

    def check(self, start: int, tokens: Row, targets: Row, documents: Row) -> None:
        end = start + self.seq_len
        assert start % self.seq_len == 0
        assert [*tokens] == self.tokens[start:end]
        following = self.tokens[start + 1 : end + 1]
        pairs = zip(tokens, following, strict=True)
        assert [*targets] == [IGNORE if own == SEPARATOR else after for own, after in pairs]
        assert [*documents] == [tokens[:i].count(SEPARATOR) for i in range(self.seq_len)]

    def lost_and_repeated(self) -> tuple[int, int]:
        """Of the sequences, at the worst moment between two steps: those that were read less often
        than the whole epochs done, and those that were read in an epoch that has not begun."""
        counts, lost, repeated, rows = Counter[int](), 0, 0, 0
        for step in sorted(self.steps):
            counts += self.steps[step]
            rows += self.steps[step].total()
            whole, begun = rows // self.sequences, -(-rows // self.sequences)
            times = [counts[i * self.seq_len] for i in range(self.sequences)]
            assert sum(times) == rows
            lost = max(lost, sum(max(0, whole - count) for count in times))
            repeated = max(repeated, sum(max(0, count - begun) for count in times))
        return lost, repeated


@pytest.mark.parametrize("history", range(HISTORIES))
def test_nothing_is_lost_and_nothing_repeated(tmp_path: Path, history: int) -> None:
    """A random corpus, random shapes of batches; again and again the run crashes, goes back to its
    last checkpoint, and goes on with another number of processes."""
    draw = random.Random(history)
    seq_len = draw.choice((2, 3, 4, 6, 12, 24))
    global_batch = draw.choice((2, 4, 6, 8, 12))
    sequences = draw.randrange(1, 50)
    tokens = countable(draw, sequences * seq_len + 1 + draw.randrange(seq_len))
    write_tokens(tmp_path / "corpus", tokens, draw)
    setting = Setting("tokens", seq_len, seed=draw.randrange(100))
    choices = layouts(global_batch, seq_len)

    ledger = Ledger(tokens, seq_len)
    assert ledger.sequences == sequences
    steps = -(-draw.choice((2, 3)) * sequences // global_batch) + 1
    every = draw.randrange(2, 6)  # steps between checkpoints
    saved, position_saved, read, worlds = 0, 0, 0, list[int]()
    while len(ledger.steps) < steps or len({*worlds}) < 2 or read == len(ledger.steps):
        world = World(setting, draw.choice(choices), tmp_path / "corpus")
        worlds.append(world.layout.world)
        step, position = saved, position_saved
        for _ in range(draw.randrange(1, 2 * every + 4)):  # then it is killed
            ledger.enter(step, world.step(position))
            step, position, read = step + 1, world.next_position(position), read + 1
            if step % every == 0:
                saved, position_saved = step, position
    assert [*sorted(ledger.steps)] == [*range(len(ledger.steps))]
    assert ledger.lost_and_repeated() == (0, 0)


def test_the_histories_hold_what_they_should() -> None:
    """Every kind of layout, worlds of many sizes."""
    found = layouts(12, 12)
    assert {layout.kind for layout in found} == {"fsdp", "hybrid", "cp"}
    assert {layout.global_batch for layout in found} == {12}
    assert {1, 2, 3, 4, 6, 8, 9, 12} <= {layout.world for layout in found}


def test_a_ledger_can_tell() -> None:
    """Two sequences of two tokens, in steps of one: read twice too early, or not at all."""
    tokens = [1, 2, 3, 4, 5]
    good, bad = Ledger(tokens, 2), Ledger(tokens, 2)
    good.steps = {0: Counter({0: 1}), 1: Counter({2: 1}), 2: Counter({2: 1})}
    bad.steps = {0: Counter({0: 1}), 1: Counter({0: 1}), 2: Counter({2: 1})}
    assert good.lost_and_repeated() == (0, 0)
    assert bad.lost_and_repeated() == (1, 1)


@pytest.mark.parametrize("kind", ["fsdp", "hybrid", "cp"])
def test_the_order_is_that_of_one_process(tmp_path: Path, kind: str) -> None:
    """Row by row: rank by rank of a microbatch, microbatch after microbatch."""
    draw = random.Random(5)
    tokens = countable(draw, 40 * 12 + 1)
    write_tokens(tmp_path / "corpus", tokens, draw)
    setting = Setting("tokens", 12)
    (layout,) = [
        each
        for each in layouts(12, 12)
        if each.kind == kind
        and (each.dp, each.cp, each.microbatch) == (6, 2 if kind == "cp" else 1, 1)
        and each.replicate != 3
    ]
    one = World(setting, Layout(microbatch=12), tmp_path / "corpus")
    many = World(setting, layout, tmp_path / "corpus")
    for position in (0, 12 * 12, 5 * 12 * 12):
        together, alone = many.step(position).tokens, one.step(position).tokens
        # `together` is rank after rank, each with two microbatches of one row
        assert [*together[0::2], *together[1::2]] == alone


def test_every_epoch_has_an_order_of_its_own(tmp_path: Path) -> None:
    """And so has every seed; none of them is that of the file."""
    tokens = countable(random.Random(0), 30 * 4 + 1)
    write_tokens(tmp_path / "corpus", tokens, random.Random(1))
    orders: list[list[int]] = []
    for seed in (0, 1):
        world = World(Setting("tokens", 4, seed=seed), Layout(microbatch=30), tmp_path / "corpus")
        for epoch in range(3):
            rows = world.step(epoch * 120).tokens
            orders.append([Ledger(tokens, 4).start_of(row) for row in rows])
    in_file = [*range(0, 120, 4)]
    assert all(sorted(order) == in_file for order in orders)
    assert len({*map(tuple, [*orders, in_file])}) == 7
