"""What a dry run found: each rank class, its memory, its collectives against the rank program's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from llamac.dryrun.record import MemoryJson
from llamac.sizes import size_text

CATEGORIES = ("parameters", "gradients", "optimizer", "gathered", "activations")


@dataclass(frozen=True)
class Line:
    """Collectives of one kind over one group in one step: what ran, what the rank program says.

    over   atoms of the mesh whose product the group is
    bytes  of the whole buffers: see `compiler.traffic`
    """

    over: tuple[str, ...]
    kind: str
    count: int
    bytes: int
    expected_count: int
    expected_bytes: int

    @property
    def ok(self) -> bool:
        return (self.count, self.bytes) == (self.expected_count, self.expected_bytes)


@dataclass(frozen=True)
class RankClass:
    """One rank of a class.

    parameters       elements that this rank stores
    peak, saved      bytes by category at the peak, and between a forward and a backward
    predicted        the same categories by the rank program, without temporaries
    """

    phase: str
    name: str
    rank: int
    stage: int
    parameters: int
    peak: MemoryJson
    saved: MemoryJson
    predicted: dict[str, float]
    lines: tuple[Line, ...]
    seconds: float
    process_bytes: int

    @property
    def ok(self) -> bool:
        return all(line.ok for line in self.lines)


@dataclass(frozen=True)
class Crashed:
    """A rank that did not build or did not step, and its last words."""

    phase: str
    name: str
    rank: int
    stage: int
    words: str

    @property
    def ok(self) -> bool:
        return False


@dataclass(frozen=True)
class DryRun:
    plan: str
    world: int
    ranks: tuple[RankClass | Crashed, ...]

    @property
    def ok(self) -> bool:
        return all(rank.ok for rank in self.ranks)


def as_json(result: DryRun) -> dict[str, object]:
    return {
        "ok": result.ok,
        "plan": result.plan,
        "world": result.world,
        "ranks": [_rank_json(rank) for rank in result.ranks],
    }


def _rank_json(rank: RankClass | Crashed) -> dict[str, object]:
    if isinstance(rank, Crashed):
        return {**asdict(rank), "ok": False}
    lines = [{**asdict(line), "ok": line.ok} for line in rank.lines]
    return {**asdict(rank), "lines": lines, "ok": rank.ok}


def as_text(result: DryRun) -> str:
    lines = [f"plan {result.plan}: one step of one rank of each kind, of {result.world:,} ranks"]
    for rank in result.ranks:
        lines += ["", *(_crash(rank) if isinstance(rank, Crashed) else _rank(rank))]
    lines += ["", _verdict(result)]
    return "\n".join(lines) + "\n"


def _crash(rank: Crashed) -> Iterator[str]:
    yield f"phase {rank.phase}, {rank.name}: rank {rank.rank:,} did not step"
    yield from (f"  {line}" for line in rank.words.splitlines())


def _rank(rank: RankClass) -> Iterator[str]:
    yield (
        f"phase {rank.phase}, {rank.name}: rank {rank.rank:,} on pipeline stage {rank.stage}, "
        f"{rank.parameters:,} parameters; {rank.seconds:.1f} s per step, "
        f"{size_text(rank.process_bytes)} of host memory"
    )
    heads = ("", "peak", "between passes", "rank program")
    rows = [
        (
            name,
            size_text(rank.peak[name]),
            size_text(rank.saved[name]),
            size_text(rank.predicted[name]),
        )
        for name in CATEGORIES
    ]
    whole = (
        "total",
        size_text(sum(rank.peak[name] for name in CATEGORIES)),
        size_text(sum(rank.saved[name] for name in CATEGORIES)),
        size_text(sum(rank.predicted[name] for name in CATEGORIES)),
    )
    yield from _table([heads, *rows, whole])
    called = [("collective", "over", "count", "bytes", "")]
    for line in rank.lines:
        said = "" if line.ok else _difference(line)
        over = " x ".join(line.over)
        called.append((line.kind, over, f"{line.count:,}", size_text(line.bytes), said))
    yield from _table(called)


def _difference(line: Line) -> str:
    return f"DIFFERS: {line.expected_count:,} of {line.expected_bytes:,} B, not {line.bytes:,} B"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if _is_number(cell) else cell.ljust(width)
            for cell, width in zip(row, widths, strict=True)
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit()


def _verdict(result: DryRun) -> str:
    stepped = [rank for rank in result.ranks if isinstance(rank, RankClass)]
    if result.ok:
        kinds = sum(len(rank.lines) for rank in stepped)
        return f"all collectives match the rank program: {kinds} kinds and groups"
    wrong = sum(not line.ok for rank in stepped for line in rank.lines)
    crashed = len(result.ranks) - len(stepped)
    found = [f"{wrong} differ from the rank program"] if wrong else []
    found += [f"{crashed} did not step"] if crashed else []
    return f"FAILED: {', '.join(found)}"
