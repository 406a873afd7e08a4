"""Imports, names and `extends`: from one file to the closed set of files it stands on.

Pure: `lookup` reads. A module is a file with its names; a lineage is a block with what it extends,
the oldest first, which is the order in which their clauses count.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from dsl.diagnostics import Problem
from dsl.files import Lookup, Missing, Unreadable, decode
from dsl.parser import parse
from dsl.problems.blocks import Duplicate, ExtendsCycle, ExtendsKind
from dsl.problems.files import FileMissing, ImportCycle, ImportMissing, ImportOutside
from dsl.problems.names import UnknownImport, UnknownName
from dsl.source import Source, Span
from dsl.suggest import closest
from dsl.syntax import Limit
from dsl.tree import Block, Clause, Component, File, Goal, Hole, Import, Let, Path, Refine, Replace

SUFFIX: Final = ".llama"
STANDARD: Final = "std/"
OBJECTIVE: Final = "an objective"
MAXIMUM_FILES: Final = 64
MAXIMUM_DEPTH: Final = 16

Definition: TypeAlias = Block | Let


@dataclass(frozen=True)
class Module:
    """A file: what it defines and what it imports. `whole` is False where lines are holes, so
    that a name nobody finds may be one of those."""

    path: str
    tree: File
    names: Mapping[str, Definition]
    imports: Mapping[str, Module | None]  # None: the import failed
    whole: bool
    clean: bool  # no line of the file is wrong

    @property
    def blocks(self) -> list[Block]:
        return [clause for clause in self.tree.clauses if isinstance(clause, Block)]


@dataclass(frozen=True)
class Resolved:
    """The root file's module, all sources read, and what is wrong so far."""

    root: Module | None
    sources: Mapping[str, Source]
    problems: tuple[Problem, ...]


Report: TypeAlias = Callable[[Problem], None]


def resolve(path: str, lookup: Lookup, root: str | None = None) -> Resolved:
    """Read the file at `path` and all it imports; `root` is the folder they may not leave."""
    folder = posixpath.dirname(path) if root is None else root
    loader = _Loader(lookup, posixpath.normpath(folder or "."))
    module = loader.load(path, None, ())
    return Resolved(module, loader.sources, tuple(loader.problems))


@dataclass
class _Loader:
    lookup: Lookup
    root: str
    modules: dict[str, Module | None] = field(default_factory=dict[str, Module | None])
    sources: dict[str, Source] = field(default_factory=dict[str, Source])
    problems: list[Problem] = field(default_factory=list[Problem])

    def load(self, path: str, by: Import | None, chain: tuple[str, ...]) -> Module | None:
        """The module at a normalised path; `by` is the line that wants it."""
        if path in self.modules:
            return self.modules[path]
        self.modules[path] = None
        source = self.read(path, by)
        if source is None:
            return None
        self.sources[path] = source
        parsed = parse(source)
        self.problems += parsed.problems
        self.problems += duplicates(parsed.tree.clauses)
        imports = {
            clause.alias.text: self.imported(clause, path, (*chain, path))
            for clause in parsed.tree.clauses
            if isinstance(clause, Import)
        }
        names = {
            clause.name.text: clause
            for clause in parsed.tree.clauses
            if isinstance(clause, Block | Let)
        }
        # A hole, or a field where only blocks can stand, may be what should define a name.
        whole = not any(isinstance(c, Hole | Replace | Refine) for c in parsed.tree.clauses)
        clean = not parsed.problems
        self.modules[path] = Module(path, parsed.tree, names, imports, whole, clean)
        return self.modules[path]

    def read(self, path: str, by: Import | None) -> Source | None:
        found = self.lookup(path)
        match found:
            case Missing(neighbours):
                candidates = {posixpath.basename(near): near for near in neighbours}
                near = closest(posixpath.basename(path), candidates)
                self.problems.append(_missing(path, "no such file", by, near))
                return None
            case Unreadable(reason):
                self.problems.append(_missing(path, reason, by))
                return None
            case _:
                source, problem = decode(path, found)
                self.sources[path] = source
                if problem is not None:
                    self.problems.append(problem)
                    return None
                return source

    def imported(self, clause: Import, importer: str, chain: tuple[str, ...]) -> Module | None:
        """The module an import names; None, with the reason told, where it cannot be."""
        span, wanted = clause.file.span, clause.file.value
        path = self.locate(wanted, importer)
        if path is None:
            self.problems.append(ImportOutside(span=span, file=wanted[:80]))
        elif path in chain:
            names = " -> ".join([*chain[chain.index(path) :], path])
            self.problems.append(ImportCycle(span=span, chain=names))
        elif len(chain) >= MAXIMUM_DEPTH:
            limit, instead = (
                f"{MAXIMUM_DEPTH} files deep",
                "import the file that is needed directly",
            )
            self.problems.append(
                Limit(span=span, what="imports are too deep", limit=limit, instead=instead)
            )
        elif path not in self.modules and len(self.modules) >= MAXIMUM_FILES:
            limit = f"{MAXIMUM_FILES} files"
            instead = "gather definitions in fewer files"
            self.problems.append(
                Limit(span=span, what="too many imports", limit=limit, instead=instead)
            )
        else:
            return self.load(path, clause, chain)
        return None

    def locate(self, wanted: str, importer: str) -> str | None:
        """The normalised path an import means; None where it leaves the project."""
        if not wanted or wanted.startswith(("/", "~")) or "\\" in wanted or "\0" in wanted:
            return None
        file = wanted if wanted.endswith(SUFFIX) else wanted + SUFFIX
        if file.startswith(STANDARD):
            path = posixpath.normpath(file)
            return path if path.startswith(STANDARD) else None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), file))
        if importer.startswith(STANDARD):
            return path if path.startswith(STANDARD) else None
        return path if self.inside(path) else None

    def inside(self, path: str) -> bool:
        """Whether a normalised path lies in the root, which may be `.`, or above it: `../..`."""
        steps = self.root.split("/")
        if set(steps) <= {".", ".."}:
            return not path.startswith("/") and path.split("/").count("..") <= steps.count("..")
        return path.startswith(self.root.rstrip("/") + "/")


def _missing(path: str, reason: str, by: Import | None, near: str | None = None) -> Problem:
    """What to say of a file that the line `by`, or nobody but the caller, wants; `near` is the
    name of a file beside it."""
    if by is None:
        suggestion = near and posixpath.join(posixpath.dirname(path), near)
        return FileMissing(span=None, file=path, reason=reason, suggestion=suggestion)
    if near is not None:
        near = posixpath.join(posixpath.dirname(by.file.value), near)
        near = f'"{near.removesuffix(SUFFIX)}"'
    wanted, span = f'"{by.file.value}"', by.file.span
    return ImportMissing(span=span, name=wanted, file=path, reason=reason, suggestion=near)


def duplicates(clauses: Sequence[Clause]) -> list[Problem]:
    """Names defined, and fields set, twice in one body, in all bodies inside."""
    problems: list[Problem] = []
    seen: dict[str, Clause] = {}
    for clause in clauses:
        match clause:
            case Replace(_, Hole(), _):
                continue
            case Replace(path, value, _):
                key, name, verb, body = path.text, path, "set", ()
                if isinstance(value, Component):
                    body = value.body
            case Block(_, name, _, _, body, _):
                key, verb = name.text, "defined"
            case Let(name, value, _):
                key, verb = name.text, "defined"
                body = value.body if isinstance(value, Component) else ()
            case Import(_, name, _):
                key, verb, body = name.text, "defined", ()
            case Goal(_, _, span):
                first = seen.setdefault(OBJECTIVE, clause)
                if first is not clause:
                    problems.append(_duplicate(OBJECTIVE, "given", span, first.span))
                continue
            case Refine(_, _, body, _):
                problems += duplicates(body)
                continue
            case _:
                continue
        problems += duplicates(body)
        first = seen.setdefault(key, clause)
        if first is not clause:
            problems.append(_duplicate(f"`{key}`", verb, name.span, _named_span(first)))
    return problems


def _duplicate(what: str, verb: str, span: Span, first: Span) -> Problem:
    instead = "give one of them another name" if verb == "defined" else "keep one of the two"
    return Duplicate(span=span, what=what, verb=verb, first=first, instead=instead)


def _named_span(clause: Clause) -> Span:
    match clause:
        case Replace(path, _, _):
            return path.span
        case Block(_, name, _, _, _, _) | Let(name, _, _) | Import(_, name, _):
            return name.span
        case _:
            return clause.span


def find(module: Module, path: Path, report: Report) -> tuple[Definition, Module] | None:
    """What a name in a file stands for: `base`, `llama3.base`. None, with the reason told."""
    first = path.names[0]
    if len(path.names) == 1:
        if first.text in module.names:
            return module.names[first.text], module
        if module.whole:
            known = sorted({*module.names, *module.imports})
            suggestion = closest(first.text, known)
            report(
                UnknownName(
                    span=first.span, name=first.text, suggestion=suggestion, known=tuple(known)
                )
            )
        return None
    if first.text not in module.imports:
        if module.whole:
            known = sorted(module.imports)
            suggestion = closest(first.text, known)
            report(UnknownName(span=first.span, name=first.text, suggestion=suggestion))
        return None
    other = module.imports[first.text]
    second = path.names[1]
    if other is None:
        return None
    if second.text in other.names and len(path.names) == 2:
        return other.names[second.text], other
    if other.whole:
        name = second if second.text not in other.names else path.names[2]
        suggestion = closest(name.text, sorted(other.names))
        report(
            UnknownImport(
                span=name.span,
                name=name.text,
                file=other.path,
                suggestion=suggestion,
                known=tuple(sorted(other.names)),
            )
        )
    return None


def lineage(
    block: Block, module: Module, report: Report
) -> tuple[tuple[Block, Module], ...] | None:
    """The block and all it extends, oldest first; None, with the reason told, where broken."""
    found = [(block, module)]
    while (parent := found[-1][0].parent) is not None and found[-1][0].relation == "extends":
        target = find(found[-1][1], parent, report)
        if target is None:
            return None
        definition, home = target
        if isinstance(definition, Let) or definition.kind.text != block.kind.text:
            other = "let" if isinstance(definition, Let) else definition.kind.text
            report(
                ExtendsKind(span=parent.span, kind=block.kind.text, parent=parent.text, other=other)
            )
            return None
        if any(definition is known for known, _ in found):
            report(_extends_cycle([known for known, _ in found], definition))
            return None
        if len(found) >= MAXIMUM_DEPTH:
            limit, instead = f"{MAXIMUM_DEPTH} blocks deep", "extend an earlier block directly"
            what = "`extends` is too deep"
            report(Limit(span=parent.span, what=what, limit=limit, instead=instead))
            return None
        found.append((definition, home))
    return tuple(reversed(found))


def _extends_cycle(found: list[Block], again: Block) -> Problem:
    """Told once, from the first name by alphabet, wherever the circle is entered."""
    cycle = found[next(n for n, block in enumerate(found) if block is again) :]
    start = min(range(len(cycle)), key=lambda n: cycle[n].name.text)
    cycle = [*cycle[start:], *cycle[: start + 1]]
    chain = " -> ".join(block.name.text for block in cycle)
    parent = cycle[0].parent
    span = cycle[0].head if parent is None else parent.span
    return ExtendsCycle(span=span, name=cycle[0].name.text, chain=chain)
