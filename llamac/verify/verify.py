"""All layers of a plan's check, cheapest first: lowering, proof, text, twin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compiler.pipeline import Compiled, compile_plan
from compiler.schema.plan import PlanSpec
from compiler.twin.batches import LOSS_CHUNKS
from compiler.twin.twins import twins_of
from llamac.verify.errors import CannotVerify
from llamac.verify.expected import (
    SAMPLE_TEMPERATURE,
    SAMPLE_TOKENS,
    first_batches,
    readings_of,
    start_weights,
)
from llamac.verify.faults import Fault, seeded
from llamac.verify.lowering import lowering
from llamac.verify.result import Layer, TwinResult, Verification
from llamac.verify.settings import DTYPES, edits, settings, with_settings
from llamac.verify.twin import (
    PATIENCE,
    Limits,
    corpus_folder,
    prepare_twin,
    run_twin,
    validation_folder,
    weights_folder,
)
from llamac.verify.unexecuted import Unexecuted, unexecuted
from llamac.verify.where import with_origins

Files = Mapping[str, str]
Emit = Callable[[Compiled], Files]
"""A compiled plan -> its program, path -> text."""

CONFIG = "config.py"
FLOAT64: Mapping[str, str] = dict.fromkeys(DTYPES, "float64")


@dataclass(frozen=True)
class Asked:
    """What is checked beside the plan's own text.

    program   the files of an output directory, edits included
    fault     seeded into the text before it runs
    compiled  torch.compile the layers, as the plan may say
    """

    program: Files | None = None
    fault: Fault | None = None
    compiled: bool = False
    patience: float = PATIENCE


def verify(plan: Compiled, emit: Emit, asked: Asked | None = None) -> Verification:
    """Runs every twin of the plan here, on CPU processes."""
    asked = asked or Asked()
    emitted = emit(plan)
    run = modules(asked.program or emitted)
    if asked.fault is not None:
        run = seeded(run, asked.fault)
    layers: list[Layer] = []
    results: list[TwinResult] = []
    name, spec = plan.plan.name, plan.plan.spec
    for twin in twins_of(spec, *plan.plan.phases):
        twin = replace(twin, compile=asked.compiled)
        small = compile_twin(name, twin)
        with tempfile.TemporaryDirectory(prefix="llamac-verify-") as scratch:
            folder = Path(scratch)
            text = emit(small)
            layers.append(_same_text(emitted, text))
            files = {**run, CONFIG: twin_config(text[CONFIG], twin, folder)}
            result = run_twin(files, prepare_twin(twin, folder), Limits(patience=asked.patience))
            layers.append(
                lowering(small, start_weights(twin), first_batches(twin, corpus_folder(folder)))
            )
            results.append(with_origins(result, small.graph))
    return Verification(
        layers=(
            _worst("lowering", layers),
            Layer("proof", "not built", "the placement proof comes later"),
            _worst("text", layers),
            _twin_layer(results),
        ),
        twins=tuple(results),
        edited=edited(emitted, asked.program) if asked.program is not None else (),
        unexecuted=() if asked.compiled else _unexecuted(run, results),
    )


def _unexecuted(run: Files, results: list[TwinResult]) -> tuple[Unexecuted, ...]:
    """What no twin ran; nothing is known of a program that stopped."""
    if any(result.stopped for result in results):
        return ()
    lines = {name: frozenset[int]().union(*(r.executed[name] for r in results)) for name in run}
    return unexecuted(run, lines)


def together(found: Sequence[Verification]) -> Verification:
    """The programs of one plan as one result."""
    layers = [layer for one in found for layer in one.layers]
    twins = [twin for one in found for twin in one.twins]
    return Verification(
        layers=(
            *(_worst(name, layers) for name in ("lowering", "proof", "text")),
            _twin_layer(twins),
        ),
        twins=tuple(twins),
        edited=tuple(line for one in found for line in one.edited),
        unexecuted=tuple(dict.fromkeys(one for part in found for one in part.unexecuted)),
    )


def compile_twin(name: str, twin: PlanSpec) -> Compiled:
    small = compile_plan(name, twin)
    if small.compiled is None:
        problems = "; ".join(diagnostic.title for diagnostic in small.diagnostics)
        raise CannotVerify(f"the twin does not compile: {problems}")
    return small.compiled


def modules(files: Files) -> dict[str, str]:
    """The Python of a program: what a rank imports."""
    return {name: text for name, text in files.items() if name.endswith(".py") and "/" not in name}


def twin_config(
    text: str, twin: PlanSpec, folder: Path, dtypes: Mapping[str, str] = FLOAT64
) -> str:
    """The twin's config.py: float64 throughout, a loss in several chunks, a short sample, and what
    it reads in `folder`."""
    present, corpus = settings(text), str(corpus_folder(folder))
    shortest = min(reading.seq_len for reading in readings_of(twin))
    chunk = shortest // twin.cp // LOSS_CHUNKS
    changed: dict[str, object] = {**dtypes, "LOSS_CHUNK": chunk, "TRAIN_DATA": corpus}
    optional: dict[str, object] = {
        "VALIDATION_DATA": str(validation_folder(folder)),
        "INIT_FROM": str(weights_folder(folder)),
        "SAMPLE_TOKENS": SAMPLE_TOKENS,
        "SAMPLE_TEMPERATURE": SAMPLE_TEMPERATURE,
    }
    return with_settings(text, changed | {k: v for k, v in optional.items() if k in present})


def edited(emitted: Files, program: Files) -> tuple[str, ...]:
    """How the Python of an output directory differs from what its spec compiles to."""
    found = [
        f"{name}: edited; the edited text is what was run"
        for name, text in modules(emitted).items()
        if name != CONFIG and program.get(name) != text
    ]
    return (*found, *edits(emitted[CONFIG], program[CONFIG]))


def _same_text(emitted: Files, twin: Files) -> Layer:
    """The twin is the emitted program itself: every module but config.py is the same text."""
    before, after = modules(emitted), modules(twin)
    unlike = [
        name for name in sorted({*before, *after} - {CONFIG}) if before.get(name) != after.get(name)
    ]
    if unlike:
        return Layer("text", "different", f"the twin's text differs in {', '.join(unlike)}")
    return Layer("text", "verified", f"{len(before) - 1} modules, the same for plan and twin")


def _worst(name: str, layers: list[Layer]) -> Layer:
    own = [layer for layer in layers if layer.name == name]
    return next((layer for layer in own if layer.status == "different"), own[0])


def _twin_layer(results: list[TwinResult]) -> Layer:
    bad = sum(len(result.differences) + len(result.stopped) for result in results)
    ran = f"{len(results)} twin{'s' if len(results) > 1 else ''}, float64, gloo"
    if bad:
        return Layer("twin", "different", f"{ran}: {bad} differences")
    return Layer("twin", "verified", f"{ran}: every observable within its bound")
