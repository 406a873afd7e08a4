"""Prints docs/errors.md: every error and warning with its explanation, read from the classes.

`make docs` rewrites the page; a test holds the page against this script's output.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from dsl.diagnostics import Problem, problems
from llamac.explanations import explanations

HEAD = """# Errors

Every error and warning that llamac draws, by its slug, with what `llamac explain SLUG` prints. This
page is printed by `make docs`.
"""

FLOORS = {
    "dsl": "Of the language",
    "compiler": "Of the plan",
    "llamac": "Of files, machines and runs",
}


def main() -> None:
    print(page(), end="")


def page() -> str:
    explanations()  # imports every module that defines one
    return "\n".join([HEAD, *("\n".join(part(floor)) for floor in FLOORS)])


def part(floor: str) -> Iterator[str]:
    yield f"## {FLOORS[floor]}\n"
    for slug, problem in problems().items():
        if problem.__module__.partition(".")[0] == floor:
            yield from section(slug, problem)


def section(slug: str, problem: type[Problem]) -> Iterator[str]:
    """The title is a template: `{name}` stands for a fact of the case."""
    yield f"### {slug}\n"
    title = problem.title.replace("`", "")
    yield f"{problem.severity.value.capitalize()}: `{title}`\n"
    yield f"{inspect.getdoc(problem)}\n"


if __name__ == "__main__":
    main()
