"""Diagnostics as data: what is wrong, where, and what to type instead.

An error is one frozen dataclass derived from `Problem`: a slug, templates for title and label,
its facts as fields, and a docstring, which is the explanation that `llamac explain SLUG` prints.
Any floor may define its own; `explanations()` finds them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from dsl.source import Span

MAXIMUM_HELPS = 3


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Label:
    """A remark on a piece of some file."""

    span: Span
    text: str = ""


@dataclass(frozen=True)
class Edit:
    """Replace the characters of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True)
class Fix:
    """Edits that remove the error; `safe` ones keep what was surely meant."""

    title: str
    edits: tuple[Edit, ...]
    safe: bool


@dataclass(frozen=True)
class Suggestion:
    """Something to type that removes the error: the text of it, and the edits that write it.

    `edits` is empty where no file holds the place: a value of `--set`, or of a spec made in
    memory. `remark` says what follows from it. Suggestions are rendered as the first help, so a
    help that names something to type is never text alone.
    """

    text: str
    edits: tuple[Edit, ...] = ()
    remark: str = ""


def as_help(suggestions: tuple[Suggestion, ...]) -> tuple[str, ...]:
    """``write `tp = 2` (gives dp = 4) or `tp = 4` (gives dp = 2)``, or nothing."""
    if not suggestions:
        return ()
    shown = (f"`{one.text}`" + (f" ({one.remark})" if one.remark else "") for one in suggestions)
    return ("write " + " or ".join(shown),)


@dataclass(frozen=True)
class Diagnostic:
    """What every renderer draws. The primary label is what to edit; the others say why.

    `helps` holds the text of `suggestions` first. Two plans of one file may differ only in where
    a suggestion would be written, so suggestions do not tell two diagnostics apart.
    """

    slug: str
    severity: Severity
    title: str
    primary: Label | None
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    suggestions: tuple[Suggestion, ...] = field(default=(), compare=False)

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Base of every error and warning.

    `title` and `label` are templates over the fields (`"{entry} has no field {field}"`). A
    problem that shows more overrides `secondary`, `notes`, `helps` or `fixes`. What is to be typed
    is one of the `choices`; `helps` are advice in words.
    """

    slug: ClassVar[str]
    severity: ClassVar[Severity] = Severity.ERROR
    title: ClassVar[str]
    label: ClassVar[str] = ""

    span: Span | None
    choices: tuple[Suggestion, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    def __init_subclass__(cls) -> None:
        """Refuse two problems of one slug, so that `explain SLUG` has one answer."""
        super().__init_subclass__()
        slug = cls.__dict__.get("slug")
        if slug is None:  # a base that several problems share
            return
        known = _registry.setdefault(slug, cls)
        # `dataclass(slots=True)` makes the class twice; only another name is another problem.
        if known.__qualname__ != cls.__qualname__:
            raise TypeError(f"{cls.__qualname__} and {known.__qualname__} share the slug {slug}")

    def secondary(self) -> tuple[Label, ...]:
        return ()

    def notes(self) -> tuple[str, ...]:
        return ()

    def helps(self) -> tuple[str, ...]:
        return ()

    def fixes(self) -> tuple[Fix, ...]:
        return ()

    def facts(self) -> Mapping[str, object]:
        """What the templates may name: fields, and properties computed from them."""
        kind = type(self)
        computed = [name for name in dir(kind) if isinstance(getattr(kind, name), property)]
        return vars(self) | {name: getattr(self, name) for name in computed}

    def diagnostic(self) -> Diagnostic:
        facts = self.facts()
        label = self.label.format_map(facts)
        return Diagnostic(
            slug=self.slug,
            severity=self.severity,
            title=self.title.format_map(facts),
            primary=None if self.span is None else Label(self.span, label),
            secondary=self.secondary(),
            notes=self.notes(),
            helps=(*as_help(self.choices), *self.helps())[:MAXIMUM_HELPS],
            fixes=self.fixes(),
            suggestions=self.choices,
        )


def diagnose(problems: Iterable[Problem]) -> tuple[Diagnostic, ...]:
    """Problems rendered; those that read the same (of two phases, say) once."""
    return tuple(dict.fromkeys(problem.diagnostic() for problem in problems))


_registry: dict[str, type[Problem]] = {}


def problems() -> Mapping[str, type[Problem]]:
    """Every problem of the modules imported so far, by slug."""
    return dict(sorted(_registry.items()))


def explanations() -> Mapping[str, str]:
    """The explanation of every slug of the modules imported so far."""
    return {slug: inspect.getdoc(problem) or "" for slug, problem in problems().items()}
