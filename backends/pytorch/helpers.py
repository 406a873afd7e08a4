"""Helper functions of model.py: of all there are, those that the printed text uses."""

from __future__ import annotations

import ast

from backends.pytorch.imports import names_in


def needed(body: str, library: str) -> str:
    """The definitions of `library` that `body` uses, directly or through others, in its order."""
    definitions = top_level(library)
    wanted: set[str] = set()
    pending = [name for name in names_in(body).free if name in definitions]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending += [other for other in names_in(definitions[name]).free if other in definitions]
    return "\n\n\n".join(text for name, text in definitions.items() if name in wanted)


def top_level(library: str) -> dict[str, str]:
    """Source text of every function and assignment, with the comment above it, by name."""
    lines = library.splitlines()
    found: dict[str, str] = {}
    for node in ast.parse(library).body:
        match node:
            case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                first = node.lineno - 1
                while first > 0 and lines[first - 1].startswith("#"):
                    first -= 1
                found[name] = "\n".join(lines[first : node.end_lineno])
            case _:
                raise ValueError(f"line {node.lineno}: neither a function nor an assignment")
    return found
