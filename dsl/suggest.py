"""Did-you-mean: the closest of a few names."""

from __future__ import annotations

from collections.abc import Iterable

MAXIMUM_LENGTH = 64


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate closest to `word` by edits, if it is close.

    At most a third of the letters may differ. A change of case alone always counts as close.
    """
    if len(word) > MAXIMUM_LENGTH:
        return None
    best: tuple[float, int, str] | None = None
    for candidate in candidates:
        distance = 0.5 if candidate.lower() == word.lower() else _distance(word, candidate)
        longest = max(len(word), len(candidate))
        if distance < longest and distance <= max(1, longest / 3):
            # Of two as close the longer one: letters are left out more often than added.
            found = (distance, -len(candidate), candidate)
            best = min(best or found, found)
    return best[2] if best else None


def _distance(a: str, b: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from `a` to `b`."""
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]
