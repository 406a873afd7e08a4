"""The folder of `init_from` against the model that starts from it, where it is here to read."""

from __future__ import annotations

import json
from pathlib import Path

from compiler.huggingface.differences import Difference, Scalar, differences
from compiler.huggingface.names import stored_by
from compiler.huggingface.read import Inexpressible, model_of
from compiler.schema import ModelSpec, PlanSpec
from dsl.diagnostics import Diagnostic
from dsl.source import Source
from dsl.spec import Origins
from llamac.huggingface.config import LARGEST, NAME, NoFamily, read_object
from llamac.problems import NoArchitecture, OtherMeaning, OtherWeights

PATH = "train.init_from"


def check_start(plan: str, spec: PlanSpec, origins: Origins) -> tuple[Diagnostic, ...]:
    """What to say of a plan whose folder's config.json can be read from here, and says another
    model. A folder that is elsewhere is held against the program when it starts."""
    folder = spec.train.init_from
    there = None if folder is None else _model_in(Path(folder))
    if folder is None or there is None:
        return ()
    found = differences(spec.model, there)
    if not found:
        return ()
    fits = stored_by(spec.model) == stored_by(there)
    problem = OtherMeaning if fits else OtherWeights
    rows = _rows(found, min(spec.model.layers, there.layers))
    span = origins.span(plan, PATH)
    return (problem(span=span, folder=folder, rows=rows).diagnostic(),)


def _model_in(folder: Path) -> ModelSpec | None:
    """The model that the folder's config.json describes, if there is one that a spec can say."""
    try:
        with (folder / NAME).open("rb") as file:
            text = file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
    config = read_object(Source(NAME, text))
    if isinstance(config, Diagnostic):
        return None
    try:
        return model_of(config)
    except Inexpressible:
        return None


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
