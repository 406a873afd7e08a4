"""PyTorch: the backend. A compiled plan -> the files of its program.

Pure; nothing here reads or writes a file but the templates of this package.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from backends.program import Program
from backends.python.templates import render
from backends.python.wrapping import LINE_LENGTH, wrap_lines
from backends.pytorch.config import config_text
from backends.pytorch.features import Features, features_of
from backends.pytorch.helpers import needed
from backends.pytorch.imports import Origin, import_block, names_in
from backends.pytorch.model_text.assembly import ModelText, model_text
from backends.pytorch.names import Constants
from backends.pytorch.readme import readme_context
from backends.pytorch.unprinted import check_printed
from backends.pytorch.versions import NEWEST, VERSIONS, TorchVersion
from backends.pytorch.weights import check_conventions
from compiler.data import MEGATRON_DTYPES, MEGATRON_HEAD, MEGATRON_MAGIC, SHARDS_FORMAT
from compiler.huggingface.names import names_of
from compiler.pipeline import Compiled
from compiler.plan_json import plan_json
from compiler.schema import PlanSpec
from dsl.diagnostics import Problem
from dsl.spec import Origins

RUFF = f'line-length = {LINE_LENGTH}\ntarget-version = "py311"\n'
"""Settings with which ruff, run anywhere, finds the program formatted."""

FORMATS: Mapping[str, object] = {
    "shards": SHARDS_FORMAT,
    "magic": MEGATRON_MAGIC,
    "head": MEGATRON_HEAD,
    "dtypes": MEGATRON_DTYPES,
}
"""Formats of data files, which `llamac prepare` and every program share."""

MODULES = ("launcher", "failures", "parallel", "data", "model", "checkpoint", "metrics", "train")
"""In the order in which they may import each other: each from those before it."""


@dataclass(frozen=True)
class PyTorch:
    """The backend that prints PyTorch, for one version of torch."""

    torch: TorchVersion = NEWEST

    def refuses(self, compiled: Compiled) -> tuple[Problem, ...]:
        """Nothing: it prints every plan that the planner accepts today. `check_printed` refuses the
        parts of a rank program that no spec leads to yet."""
        return ()

    def emit(self, compiled: Compiled, origins: Origins, scripts: Collection[str]) -> Program:
        """One program. `origins` are for comments in config.py, `scripts` for its README."""
        program = compiled.programs[0]
        features = features_of(program, compiled.plan)
        check_conventions(program)
        check_printed(program, features.axes)
        constants = Constants()
        text = model_text(program, constants)
        config = config_text(compiled, program, constants, features, origins)
        names = _folder_names(compiled.plan.spec)
        files = {"config.py": config, **_modules(features, text, self.torch, config, names)}
        context = readme_context(compiled.plan, features, self.torch, scripts)
        files["ruff.toml"] = RUFF
        files["README.md"] = _render("README.md.j2", context)
        files["plan.json"] = json.dumps(plan_json(compiled), indent=2, sort_keys=True) + "\n"
        return Program(files)


def _folder_names(spec: PlanSpec) -> Mapping[str, str]:
    """Our names -> those of the folder of `init_from`; none without one."""
    if spec.train.init_from is None:
        return {}
    names = names_of(spec.model)
    return {**names.model, **names.layer}


def _modules(
    features: Features,
    text: ModelText,
    torch: TorchVersion,
    config: str,
    names: Mapping[str, str],
) -> dict[str, str]:
    """Bodies first, then the imports that each of them needs."""
    context: dict[str, object] = {"f": features, "torch": VERSIONS[torch], "text": text}
    context |= {"names": names, "formats": FORMATS}
    modules = (*MODULES[:-1], "pretrained", "train") if features.pretrained else MODULES
    bodies = {module: _render(f"{module}.py.j2", context) for module in modules}
    library = _render("helpers.py.j2", {"f": features})
    bodies["model"] = bodies["model"].replace("#HELPERS", needed(_bare(bodies["model"]), library))
    own = {"config": Origin("config")}
    own |= {name: Origin("config", name) for name in names_in(config).defined}
    files: dict[str, str] = {}
    for module in modules:
        body = _bare(bodies[module])
        imports = import_block(body, own)
        files[f"{module}.py"] = wrap_lines(bodies[module].replace("#IMPORTS", imports))
        own |= {module: Origin(module)}
        own |= {name: Origin(module, name) for name in names_in(body).defined}
    return files


def _bare(body: str) -> str:
    return body.replace("#IMPORTS\n", "").replace("#HELPERS\n", "")


def _render(template: str, context: Mapping[str, object]) -> str:
    return render("backends.pytorch", template, context)
