"""Long lines of a program, wrapped as ruff wraps them: bracket by bracket, from the last one in."""

from __future__ import annotations

from collections.abc import Iterator

LINE_LENGTH = 100

OPENING, CLOSING = "([{", ")]}"


def wrap_lines(text: str) -> str:
    """Every line of `text` that is too long and ends in a bracket, wrapped."""
    return "".join(f"{part}\n" for line in text.splitlines() for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    comma = "," if line.endswith(",") else ""
    bare = line.removesuffix(",")
    if len(line) <= LINE_LENGTH or not bare.endswith(tuple(CLOSING)):
        return [line]
    opens = _opening(bare)
    head, inside, close = bare[: opens + 1], bare[opens + 1 : -1], bare[-1]
    indent = " " * (len(line) - len(line.lstrip()))
    whole = f"{indent}    {inside}"
    arguments = list(_arguments(inside))
    if len(whole) <= LINE_LENGTH or len(arguments) == 1:
        body = _wrapped(whole)
    else:
        body = [part for a in arguments for part in _wrapped(f"{indent}    {a},")]
    return [head, *body, f"{indent}{close}{comma}"]


def _opening(line: str) -> int:
    """Where the bracket opens that the line's last character closes."""
    depth = 0
    for at in range(len(line) - 1, -1, -1):
        depth += (line[at] in CLOSING) - (line[at] in OPENING)
        if depth == 0:
            return at
    raise ValueError(f"brackets that do not match: {line}")


def _arguments(inside: str) -> Iterator[str]:
    """What commas outside of brackets separate."""
    depth = start = 0
    for at, character in enumerate(inside):
        depth += (character in OPENING) - (character in CLOSING)
        if character == "," and depth == 0:
            yield inside[start:at].strip()
            start = at + 1
    if last := inside[start:].strip():
        yield last
