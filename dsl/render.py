"""Diagnostics as text for people. Only this module knows lines and columns of the screen.

The form: a head with slug and title, per file the place and the lines that labels point at, then
notes, helps and fixes. Tabs are four wide, wide characters two, and a long line is shown around
its label only. Control characters of a source never reach the terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsl.diagnostics import Diagnostic, Label, Severity
from dsl.source import Source

TAB = 4
WIDTH = 120
"""Columns of a source line that are shown."""


@dataclass(frozen=True)
class Palette:
    """Escape codes; all empty without colour."""

    error: str = ""
    warning: str = ""
    quiet: str = ""
    bold: str = ""
    reset: str = ""

    def severity(self, severity: Severity) -> str:
        return self.error if severity is Severity.ERROR else self.warning


PLAIN = Palette()
COLOUR = Palette("\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m")


def render(
    diagnostics: Sequence[Diagnostic], sources: Mapping[str, Source], colour: bool = False
) -> str:
    """All diagnostics, an empty line between two; ends with a newline unless there is none."""
    palette = COLOUR if colour else PLAIN
    return "\n".join(render_one(one, sources, palette) for one in diagnostics)


def render_one(
    diagnostic: Diagnostic, sources: Mapping[str, Source], palette: Palette = PLAIN
) -> str:
    """One diagnostic, every line ended."""
    tone = palette.severity(diagnostic.severity)
    head = (
        f"{tone}{diagnostic.severity.value}[{diagnostic.slug}]{palette.reset}"
        f"{palette.bold}: {clean(diagnostic.title)}{palette.reset}"
    )
    lines = [head]
    groups = _by_file(diagnostic, sources)
    numbers = [_line_number(label, sources) for group in groups for label in group]
    margin = len(str(max(numbers, default=0)))
    for place, group in enumerate(groups):
        lines += _file(group, diagnostic, sources, palette, margin, first=place == 0)
    equals = f"{palette.quiet}{' ' * margin} ={palette.reset}" if groups else " ="
    lines += [f"{equals} note: {clean(note)}" for note in diagnostic.notes]
    lines += [f"{equals} help: {clean(text)}" for text in diagnostic.helps]
    for fix in diagnostic.fixes:
        lines.append(f"{equals} fix: {clean(fix.title)}  [{'safe' if fix.safe else 'unsafe'}]")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def clean(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )


def _by_file(diagnostic: Diagnostic, sources: Mapping[str, Source]) -> list[list[Label]]:
    """Labels grouped by file, the primary one's file first."""
    groups: dict[str, list[Label]] = {}
    primary = () if diagnostic.primary is None else (diagnostic.primary,)
    for label in (*primary, *diagnostic.secondary):
        if label.span.path in sources:
            groups.setdefault(label.span.path, []).append(label)
    return list(groups.values())


def _line_number(label: Label, sources: Mapping[str, Source]) -> int:
    return sources[label.span.path].position(label.span.start).line


def _file(
    labels: Sequence[Label],
    diagnostic: Diagnostic,
    sources: Mapping[str, Source],
    palette: Palette,
    margin: int,
    *,
    first: bool,
) -> list[str]:
    """The place and the marked lines of one file."""
    source = sources[labels[0].span.path]
    position = source.position(labels[0].span.start)
    arrow = "-->" if first else ":::"
    space = " " * margin
    quiet, reset = palette.quiet, palette.reset
    place = f"{clean(source.path)}:{position.line}:{position.column}"
    lines = [f"{space}{quiet}{arrow}{reset} {place}", f"{space} {quiet}|{reset}"]
    ordered = sorted(labels, key=lambda label: (label.span.start, label is not labels[0]))
    shown: tuple[int, str] | None = None
    for label in ordered:
        number = source.position(label.span.start).line
        main = label is diagnostic.primary
        text, before, marked = _excerpt(source, label, number)
        if (number, text) != shown:  # of a long line, each label may have its own part
            lines.append(f"{quiet}{number:>{margin}} |{reset} {text}")
            shown = number, text
        tone = palette.severity(diagnostic.severity) if main else quiet
        marks = ("^" if main else "-") * max(marked, 1)
        remark = f" {clean(label.text)}" if label.text else ""
        lines.append(f"{space} {quiet}|{reset} {' ' * before}{tone}{marks}{remark}{reset}")
    return lines


def _excerpt(source: Source, label: Label, number: int) -> tuple[str, int, int]:
    """A line as shown, the columns before the mark and the columns marked."""
    line = source.line(number)
    start = min(label.span.start - source.line_starts[number - 1], len(line))
    stop = min(max(label.span.end - source.line_starts[number - 1], start), len(line))
    first = 0
    last = len(line)
    if last > WIDTH:
        first = max(0, min(start - WIDTH // 2, last - WIDTH))
        last = min(last, first + WIDTH)
        stop = min(stop, last)
    lead = "..." if first else ""
    tail = "..." if last < len(line) else ""
    before = _expand(line[first:start], len(lead))
    marked = _expand(line[start:stop], len(lead) + _width(before))
    rest = _expand(line[stop:last], len(lead) + _width(before) + _width(marked))
    return lead + before + marked + rest + tail, len(lead) + _width(before), _width(marked)


def _expand(text: str, column: int) -> str:
    """Tabs to spaces, control characters to a placeholder."""
    made: list[str] = []
    for character in text:
        if character == "\t":
            character = " " * (TAB - column % TAB)
        elif not character.isprintable():
            character = "\ufffd"
        made.append(character)
        column += _width(character)
    return "".join(made)


def _width(text: str) -> int:
    """Columns of the screen."""
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )
