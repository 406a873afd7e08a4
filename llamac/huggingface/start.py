"""The folder of `init_from` against the model that starts from it, where it is here to read."""

from __future__ import annotations

import json
from pathlib import Path

from compiler.huggingface.differences import Difference, Scalar, differences
from compiler.huggingface.names import stored_by
from compiler.huggingface.read import Inexpressible, model_of
from compiler.schema import ModelSpec, PlanSpec
from dsl.diagnostics import Diagnostic
from dsl.source import Source, Span
from dsl.spec import Origins
from llamac.huggingface.config import LARGEST, NAME, NoFamily, read_object, shown
from llamac.huggingface.folder import Contradiction, unlike, weights_in
from llamac.problems.weights import (
    BrokenWeights,
    NoArchitecture,
    NotAConfig,
    OddWeights,
    OtherWeights,
    UncheckedWeights,
    WeightsOfAVariant,
)

PATH = "train.init_from"


def check_start(plan: str, spec: PlanSpec, origins: Origins) -> tuple[Diagnostic, ...]:
    """What to say of a plan whose folder is here, and whose config.json says another model, or none
    that a spec can say. A folder that is elsewhere is held against the program when it starts."""
    folder = spec.train.init_from
    text = None if folder is None else _config_in(Path(folder))
    if folder is None or text is None:
        return ()
    span = origins.span(plan, PATH)
    broken = _weights(spec, Path(folder), span)
    there = _model_of(text)
    if isinstance(there, str):
        return (UncheckedWeights(span=span, folder=folder, why=there).diagnostic(), *broken)
    found = differences(spec.model, there)
    if not found:
        return broken
    fits = stored_by(spec.model) == stored_by(there)
    problem = WeightsOfAVariant if fits else OtherWeights
    rows = _rows(found, min(spec.model.layers, there.layers))
    found_first = problem(span=span, folder=folder, rows=rows).diagnostic()
    return (found_first, *broken) if fits else (found_first,)


def _weights(spec: PlanSpec, folder: Path, span: Span | None) -> tuple[Diagnostic, ...]:
    """What its tensors say, where they are here."""
    wanted = {at.name: at.shape for at in stored_by(spec.model).values()}
    try:
        weights = weights_in(folder)
        why = None if weights is None else unlike(weights, wanted)
    except Contradiction as found:
        weights, why = None, str(found)
    except OSError as error:
        weights, why = None, f"{error.filename}: {error.strerror}"
    if why is not None:
        return (BrokenWeights(span=span, folder=str(folder), why=why).diagnostic(),)
    odd = () if weights is None else weights.odd
    return tuple(OddWeights(span=span, folder=str(folder), why=one).diagnostic() for one in odd)


def _config_in(folder: Path) -> str | None:
    """The text of the folder's config.json, if it is here."""
    try:
        with (folder / NAME).open("rb") as file:
            return file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return None


def _model_of(text: str) -> ModelSpec | str:
    """The model that a config.json describes, or why there is none that a spec can say."""
    config = read_object(Source(NAME, text))
    if isinstance(config, NotAConfig):
        return config.why
    try:
        return model_of(config)
    except Inexpressible as refused:
        first = refused.keys[0]
        return f"`{first.key}` is {shown(first.value)}, {first.why}"


def no_architecture(plan: str, spec: PlanSpec, refused: NoFamily, origins: Origins) -> Diagnostic:
    """For a model that no folder can hold."""
    return NoArchitecture(
        span=origins.span(plan, "model"),
        architecture=refused.architecture,
        lost=_rows(refused.lost, spec.model.layers),
    ).diagnostic()


def _rows(found: tuple[Difference, ...], layers: int) -> tuple[str, ...]:
    """`norm.eps is 1e-06 here, 1e-05 there`; of the layers, which one, where not all differ."""
    rows: list[str] = []
    for one in found:
        some = one.layer is not None and one.layers < layers
        place = f" of layer {one.layer}" if some else ""
        rows.append(f"{one.path}{place} is {_shown(one.first)} here, {_shown(one.second)} there")
    return tuple(rows)


def _shown(value: Scalar) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
