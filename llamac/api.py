"""The commands as functions: `import llamac; llamac.plan("run.llama").compiled("main")`.

Each takes the path of a spec and returns values or diagnostics, never prints, and raises only what
the system raises (OSError). The command line is these functions and their printing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backends.pytorch.versions import NEWEST, TorchVersion
from compiler.data import paths_of
from compiler.pipeline import Compiled, Result, choose_plan, compile_named, programs, read
from compiler.plan_json import spec_hash
from compiler.schema import PlanSpec
from dsl.diagnostics import Diagnostic
from dsl.fixes import apply as apply_fixes
from dsl.frontend import Loaded
from dsl.source import Source
from dsl.spec import Origins, Spec
from llamac.files import LIBRARY, SUFFIX, lookup_in, project_root, replace_file

if TYPE_CHECKING:
    from llamac.output import Edited, Refused, Written
    from llamac.prepare.prepare import Split
    from llamac.verify.result import Verification

Overrides = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Planned:
    """A file and its plans through the pipeline, by name; empty where the file has errors."""

    loaded: Loaded
    results: Mapping[str, Result]

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Those of the file, then those of its plans, each once even if several plans have it."""
        every = [*self.loaded.diagnostics]
        for result in self.results.values():
            every += result.diagnostics
        return tuple(dict.fromkeys(every))

    @property
    def sources(self) -> Mapping[str, Source]:
        return self.loaded.sources

    @property
    def origins(self) -> Origins:
        return Origins() if self.loaded.spec is None else self.loaded.spec.origins

    @property
    def ok(self) -> bool:
        return not any(diagnostic.is_error for diagnostic in self.diagnostics)

    def compiled(self, name: str) -> Compiled:
        """The plan called `name`, which no error stands against."""
        compiled = self.results[name].compiled
        if compiled is None:
            raise ValueError(f"plan {name} has errors: see `diagnostics`")
        return compiled


@dataclass(frozen=True)
class NoSuchPlan:
    """The file has no plan of that name, or none at all, or several and none was named.

    `exists` says whether it has any: then another name would do.
    """

    loaded: Loaded
    diagnostic: Diagnostic
    exists: bool


def load(path: str | Path, overrides: Overrides = ()) -> Loaded:
    """The file's Spec, typed and checked, or what is wrong with it."""
    name = os.fspath(path)
    if name.startswith(LIBRARY):
        spelled = name if name.endswith(SUFFIX) else name + SUFFIX
        return read(spelled, lookup_in(Path.cwd(), spelled), overrides)
    root, spelled = project_root(Path(name)), os.path.normpath(name)
    shown = root if Path(name).is_absolute() else Path(os.path.relpath(root))
    return read(spelled, lookup_in(root, spelled), overrides, shown.as_posix())


def plan(path: str | Path, overrides: Overrides = ()) -> Planned:
    """Every plan of the file, resolved and lowered."""
    loaded = load(path, overrides)
    if loaded.spec is None:
        return Planned(loaded, {})
    spec = loaded.spec
    return Planned(loaded, {name: _compiled(spec, name) for name in spec.all(PlanSpec)})


def plan_one(
    path: str | Path, name: str | None = None, overrides: Overrides = ()
) -> Planned | NoSuchPlan:
    """The plan called `name`, or the only one."""
    loaded = load(path, overrides)
    if loaded.spec is None:
        return Planned(loaded, {})
    chosen = choose_plan(loaded.spec, loaded.path, name)
    if isinstance(chosen, Diagnostic):
        return NoSuchPlan(loaded, chosen, exists=bool(loaded.spec.all(PlanSpec)))
    return Planned(loaded, {chosen: _compiled(loaded.spec, chosen)})


def _compiled(spec: Spec, name: str) -> Result:
    """Through the pipeline, and checked against the weights and data that are on this machine."""
    result, plan = compile_named(spec, name), spec.all(PlanSpec)[name]
    if result.compiled is None:
        return result
    found: list[Diagnostic] = []
    if plan.train.init_from is not None:
        from llamac.huggingface.start import check_start

        found += check_start(name, plan, spec.origins)
    if any(os.path.lexists(path) for path in paths_of(plan.train.data)):
        from llamac.prepare.look import look

        found += look(name, plan, spec.origins)
    wrong = any(diagnostic.is_error for diagnostic in found)
    return Result(None if wrong else result.compiled, (*result.diagnostics, *found))


def check(path: str | Path, overrides: Overrides = ()) -> tuple[Diagnostic, ...]:
    """All that is to say about the file and its plans."""
    return plan(path, overrides).diagnostics


def fix(planned: Planned, *, unsafe: bool = False) -> tuple[str, ...]:
    """Apply the fixes of a file's diagnostics; say which files changed, of the project's own."""
    texts = apply_fixes(planned.diagnostics, planned.sources, unsafe)
    own = {name: text for name, text in texts.items() if not name.startswith(LIBRARY)}
    for name, text in own.items():
        replace_file(Path(name), text)
    return tuple(own)


def places(compiled: Compiled, target: Path) -> tuple[tuple[Path, Compiled], ...]:
    """Where each program of a plan goes: into `target`, or a folder of it for each, named after
    its first and last phase."""
    parts = programs(compiled)
    if len(parts) == 1:
        return ((target, parts[0]),)
    return tuple((target / part.plan.part_name, part) for part in parts)


def write(
    compiled: Compiled,
    target: Path,
    origins: Origins | None = None,
    *,
    torch: TorchVersion = NEWEST,
    force: bool = False,
) -> Written | Edited | Refused:
    """Write a program into `target`: wholly or not at all, never over an edit.

    `compiled` is of one program: of a plan with several, one that `places` names.
    """
    # Here, since checking and planning start faster without templates and what writing needs.
    from backends.emit import emit
    from backends.pytorch.emit import PyTorch
    from llamac.output import Refused
    from llamac.output import write as write_files

    backend = PyTorch(torch)
    refused = backend.refuses(compiled)
    if refused:
        return Refused(target, "; ".join(problem.diagnostic().title for problem in refused))
    program = emit(compiled, origins, backend)
    return write_files(
        target,
        program.files,
        spec=spec_hash(compiled.plan),
        executable=program.executable,
        force=force,
    )


def compile(
    path: str | Path,
    target: str | Path,
    name: str | None = None,
    overrides: Overrides = (),
    *,
    torch: TorchVersion = NEWEST,
    force: bool = False,
) -> Written | Edited | Refused | Planned | NoSuchPlan:
    """The plan called `name`, or the only one, as a program in `target`, or several in its folders.

    A `Planned` comes back where the file or the plan has errors: they are in its `diagnostics`.
    """
    planned = plan_one(path, name, overrides)
    if isinstance(planned, NoSuchPlan) or not planned.ok:
        return planned
    (chosen,) = planned.results
    from llamac.output import Written

    target, changed = Path(target), False
    for place, part in places(planned.compiled(chosen), target):
        result = write(part, place, planned.origins, torch=torch, force=force)
        if not isinstance(result, Written):
            return result
        changed |= result.changed
    return Written(target, changed)


def prepare(
    path: str | Path,
    name: str | None = None,
    overrides: Overrides = (),
    folder: str | Path | None = None,
    *,
    processes: int | None = None,
) -> tuple[Split, ...] | Diagnostic | Planned | NoSuchPlan:
    """The data of the plan as shards, in `folder` or where its program looks for them; one core a
    process where `processes` is not said. A `Diagnostic` where the data cannot be used."""
    planned = plan_one(path, name, overrides)
    if isinstance(planned, NoSuchPlan) or not planned.ok:
        return planned
    from llamac.prepare.prepare import prepare as prepare_data

    (chosen,) = planned.results
    return prepare_data(
        chosen,
        planned.compiled(chosen).plan.spec,
        planned.origins,
        None if folder is None else Path(folder),
        processes=processes,
    )


def verify(
    path: str | Path, name: str | None = None, overrides: Overrides = ()
) -> Verification | Planned | NoSuchPlan:
    """The plan's program against the reference, run here. Needs torch."""
    planned = plan_one(path, name, overrides)
    if isinstance(planned, NoSuchPlan) or not planned.ok:
        return planned
    from llamac.verify.entry import verify_plan

    (chosen,) = planned.results
    return verify_plan(planned.compiled(chosen))
