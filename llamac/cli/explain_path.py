"""Where a number comes from: an estimate's tree, a decision's reason, a field's origin, or one of
the compiler's forms as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from compiler.build_graph import build_graph
from compiler.dump import dump_graph, dump_plan, dump_rank_program
from compiler.estimates import Estimate, as_dict, estimates
from compiler.graph import ModelGraph
from compiler.pipeline import Compiled, compile_named
from compiler.plan import Decision
from compiler.planner import check_model
from compiler.schema import ModelSpec, PlanSpec
from dsl.diagnostics import Diagnostic, diagnose
from dsl.frontend import Loaded
from dsl.spec import Spec
from dsl.suggest import closest
from llamac import api
from llamac.cli.exits import FAULT, FINE, FOUND
from llamac.cli.report import show
from llamac.plan_view import memory_of


@dataclass(frozen=True)
class Subject:
    """What there is to explain of a plan, or of a model alone (then `compiled` is None)."""

    name: str
    graph: ModelGraph
    figures: Mapping[str, Estimate]
    compiled: Compiled | None


def explain_path(subject: str, path: str, overrides: api.Overrides, as_json: bool) -> int:
    file, name = _split(subject)
    loaded = api.load(file, overrides)
    if loaded.spec is None:
        show(loaded.diagnostics, loaded.sources)
        return FOUND
    found = _subject(loaded.spec, name)
    if isinstance(found, str):
        click.echo(f"error: {file} {found}", err=True)
        return FAULT
    if isinstance(found, tuple):
        show(found, loaded.sources)
        return FOUND
    return _explain(found, path, loaded, as_json)


def _split(subject: str) -> tuple[str, str | None]:
    """`FILE:NAME`, where NAME is an identifier; a colon of another kind belongs to the file."""
    file, colon, name = subject.rpartition(":")
    return (file, name) if colon and name.isidentifier() else (subject, None)


def _subject(spec: Spec, name: str | None) -> Subject | tuple[Diagnostic, ...] | str:
    """What NAME is, or the diagnostics that stand against it, or why there is no such thing."""
    plans, models = tuple(spec.all(PlanSpec)), spec.all(ModelSpec)
    names = plans or tuple(models)
    if not names:
        return f"has no plan and no model to explain; it holds: {_contents(spec)}"
    if name is None:
        if len(names) != 1:
            return f"holds several; write FILE:NAME with one of: {', '.join(names)}"
        name = names[0]
    if name in plans:
        result = compile_named(spec, name)
        if result.compiled is None:
            return result.diagnostics
        compiled = result.compiled
        main = compiled.plan.phases.index(compiled.plan.main)
        figures = {**compiled.estimates, "memory": memory_of(compiled, main)}
        return Subject(name, compiled.graph, figures, compiled)
    if name in models:
        refused = check_model(name, "", models[name], spec.origins)
        if refused:
            return diagnose(refused)
        graph = build_graph(models[name])
        return Subject(name, graph, estimates(graph, None), None)
    return f"has no `{name}`; it holds: {', '.join([*plans, *models])}"


def _contents(spec: Spec) -> str:
    """`cluster four, train short`."""
    every = [f"{kind} {name}" for kind, blocks in spec.blocks.items() for name in blocks]
    return ", ".join(every) or "no block at all"


def _explain(subject: Subject, path: str, loaded: Loaded, as_json: bool) -> int:
    text = _form(subject, path)
    if text is not None:
        click.echo(json.dumps({"name": path, "text": text}) if as_json else text.rstrip("\n"))
        return FINE
    estimate = _figures(subject).get(path)
    if estimate is not None:
        tree = json.dumps(as_dict(estimate), indent=2) if as_json else "\n".join(_tree(estimate))
        click.echo(tree)
        return FINE
    decision = _decisions(subject).get(path)
    if decision is not None:
        _print_decision(decision, _place(loaded, subject.name, path), as_json)
        return FINE
    return _unknown(subject, path)


def _form(subject: Subject, path: str) -> str | None:
    """One of the compiler's own forms, as the text that golden files hold."""
    compiled = subject.compiled
    match path:
        case "model":
            return dump_graph(subject.graph)
        case "plan" if compiled is not None:
            return dump_plan(compiled.plan)
        case "program" if compiled is not None:
            return "\n".join(dump_rank_program(program) for program in compiled.programs)
        case _:
            return None


def _figures(subject: Subject) -> dict[str, Estimate]:
    return {path: node for root in subject.figures.values() for path, node in root.walk()}


def _decisions(subject: Subject) -> dict[str, Decision]:
    if subject.compiled is None:
        return {}
    return {decision.path: decision for decision in subject.compiled.plan.main.decisions}


def _place(loaded: Loaded, name: str, path: str) -> str | None:
    """`file:line:column` of what was written, where something was."""
    if loaded.spec is None:
        return None
    origin = loaded.spec.origins.get(name, path)
    if origin is None or origin.span is None:
        return None
    position = loaded.sources[origin.span.path].position(origin.span.start)
    return f"{origin.span.path}:{position.line}:{position.column}"


def _print_decision(decision: Decision, place: str | None, as_json: bool) -> None:
    if as_json:
        content = {
            "name": decision.path,
            "value": decision.value,
            "origin": decision.origin,
            "reason": decision.reason,
            "runner_up": decision.runner_up,
            "place": place,
        }
        click.echo(json.dumps(content, indent=2))
        return
    where = f" at {place}" if place else ""
    click.echo(f"{decision.path} = {decision.value}   {decision.origin}{where}: {decision.reason}")
    if decision.runner_up:
        click.echo(f"  runner-up: {decision.runner_up}")


def _tree(estimate: Estimate, depth: int = 0) -> Iterator[str]:
    """A line a node: name, value, formula; the unit and the source where they are new."""
    value = estimate.value
    shown = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6g}"
    label = "  " * depth + estimate.name
    unit = f" {estimate.unit}" if depth == 0 else ""
    source = f"   ({estimate.source})" if depth == 0 else ""
    yield f"{label:<24} {shown:>20}{unit}  = {estimate.formula}{source}"
    for child in estimate.children:
        yield from _tree(child, depth + 1)


def _unknown(subject: Subject, path: str) -> int:
    known = [*_figures(subject), *_decisions(subject), "model"]
    if subject.compiled is not None:
        known += ["plan", "program"]
    near = closest(path, known)
    hint = f"; did you mean `{near}`?" if near else ""
    click.echo(f"error: `{subject.name}` has no figure or field `{path}`{hint}", err=True)
    roots = [*subject.figures, *_decisions(subject), "model"]
    click.echo(f"it has: {', '.join(dict.fromkeys(roots))}", err=True)
    return FAULT
