"""config.json: read as the text of a spec, and made of a plan. Imports no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from compiler.huggingface.differences import Difference
from compiler.huggingface.families import Json, Object
from compiler.huggingface.read import Inexpressible, Unsaid, model_of
from compiler.huggingface.spec_text import model_text
from compiler.huggingface.write import config_of, with_half_pairs
from compiler.pipeline import read
from compiler.schema import ModelSpec
from dsl.diagnostics import Diagnostic
from dsl.source import Source, Span
from llamac.huggingface.tokenizer import Ends
from llamac.problems.weights import CannotImport, NotAConfig

NAME = "config.json"
LARGEST = 4 * 2**20
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_SHOWN = 40

Dtype = Literal["bf16", "fp32", "fp64"]
TORCH_DTYPES: Mapping[Dtype, str] = {"bf16": "bfloat16", "fp32": "float32", "fp64": "float64"}


@dataclass(frozen=True)
class Imported:
    """A model and the spec that says it; `model` is None exactly when there are diagnostics."""

    source: Source
    model: ModelSpec | None
    text: str
    diagnostics: tuple[Diagnostic, ...]


def import_config(path: Path, name: str = "", ignored: frozenset[str] = frozenset()) -> Imported:
    """The spec of a config.json, or of the folder that holds one. Raises OSError.

    name      of the model; otherwise made from the folder's
    ignored   keys that are left out of account
    """
    file = path / NAME if path.is_dir() else path
    with file.open("rb") as opened:
        source = Source(file.as_posix(), opened.read(LARGEST).decode("utf-8-sig", "replace"))
    config = read_object(source)
    if isinstance(config, NotAConfig):
        return Imported(source, None, "", (config.diagnostic(),))
    try:
        model = model_of(config, ignored)
    except Inexpressible as refused:
        found = tuple(_cannot(source, unsaid) for unsaid in refused.keys)
        return Imported(source, None, "", found)
    text = model_text(name or name_for(file, config), model)
    return Imported(source, model, _heading(config, ignored) + text, ())


def read_object(source: Source) -> Object | NotAConfig:
    """The file's JSON object, or what is wrong with it."""
    try:
        found = cast(object, json.loads(source.text))
    except json.JSONDecodeError as error:
        span = Span(source.path, min(error.pos, len(source.text)), len(source.text))
        return NotAConfig(span=_line(source, span), why=f"no JSON: {error.msg}")
    except RecursionError:
        return NotAConfig(span=Span(source.path, 0, 1), why="nested too deeply")
    except ValueError:
        why = "a number has thousands of digits"
        return NotAConfig(span=Span(source.path, 0, 1), why=why)
    if not isinstance(found, dict):
        return NotAConfig(span=Span(source.path, 0, 1), why="an object is needed")
    return cast(Object, found)


def is_name(word: str) -> bool:
    """Whether a block may be called so: a word of the form, that the language does not use."""
    if _IDENTIFIER.fullmatch(word) is None:
        return False
    text = f"cluster {word} {{ node = cpu {{}} }}"
    return read("name.llama", lambda _: text).spec is not None


def name_for(file: Path, config: Object) -> str:
    """Of the folder, as a name of the language; otherwise the family's."""
    wanted = file.absolute().parent.name.lower().replace("-", "_").replace(".", "_")
    if is_name(wanted):
        return wanted
    return str(config.get("model_type"))


def _heading(config: Object, ignored: frozenset[str]) -> str:
    """What the spec does not hold and its reader should know."""
    lines = [f"# From the config.json of a {config.get('model_type')}."]
    longest = config.get("max_position_embeddings")
    if isinstance(longest, int):
        lines.append(f"# Meant for sequences of up to {longest:,} tokens.")
    for key in sorted(ignored & config.keys()):
        lines.append(f"# Left out: {shown(key)[1:-1]} = {shown(config[key])}.")
    return "\n".join([*lines, "", ""])


def _cannot(source: Source, unsaid: Unsaid) -> Diagnostic:
    return CannotImport(
        span=_span_of(source, unsaid.key),
        key=unsaid.key,
        value=shown(unsaid.value),
        why=unsaid.why,
        may_ignore=unsaid.ignorable,
    ).diagnostic()


def shown(value: object) -> str:
    """JSON on one line, cut where it is long: what ends a comment cannot stand in it."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _span_of(source: Source, key: str) -> Span:
    """The key where it stands, or the whole file's start where it is left out."""
    found = re.search(rf'"{re.escape(key)}"(?=\s*:)', source.text)
    start, end = (0, 1) if found is None else found.span()
    return Span(source.path, start, end)


def _line(source: Source, span: Span) -> Span:
    """No more than the first character of what could not be read."""
    start = min(span.start, max(0, len(source.text) - 1))
    return Span(source.path, start, min(start + 1, len(source.text)))


class NoFamily(Exception):
    """No architecture computes the model; `lost` is what the nearest one would do otherwise."""

    def __init__(self, architecture: str, lost: tuple[Difference, ...]) -> None:
        super().__init__(architecture)
        self.architecture, self.lost = architecture, lost


def config_json(model: ModelSpec, ends: Ends, longest: int, dtype: Dtype) -> dict[str, Json]:
    """Of a model; `longest` is the longest sequence it was trained on. Raises NoFamily."""
    written = config_of(with_half_pairs(model))
    if written.lost:
        raise NoFamily(written.family.architecture, written.lost)
    return {
        **written.config,
        "max_position_embeddings": longest,
        "torch_dtype": TORCH_DTYPES[dtype],
        **ends.as_json(),
        "use_cache": True,
    }
