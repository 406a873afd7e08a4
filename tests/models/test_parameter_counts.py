"""Generated modules of the standard library have as many elements as the published weights."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from backends.emit import emit
from backends.reference.parameters import parameter_shapes
from compiler.pipeline import compile_plan
from compiler.schema import ClusterSpec, CpuNode, ModelSpec, PlanSpec, TrainSpec
from compiler.schema.train import AdamW
from dsl.schema import Count
from tests.compiler.specs import standard_models
from tests.models.published import PUBLISHED

COUNT = """
import json
import math
from model import Model
model = Model()
print(json.dumps({
    "whole": sum(math.prod(at.shape) for at in model.layout.values()),
    "local": {name: p.numel() for name, p in model.named_parameters()},
    "devices": sorted({str(p.device) for p in model.parameters()}),
}))
"""


def plan_of(model: ModelSpec, tp: int) -> PlanSpec:
    return PlanSpec(
        model=model,
        cluster=ClusterSpec(node=CpuNode(devices=tp)),
        train=TrainSpec(
            steps=1,
            seq_len=64,
            global_batch=Count(1, "sequences"),
            optimizer=AdamW(lr=1e-3),
        ),
        tp=tp,
    )


def module_counts(plan: PlanSpec, folder: Path) -> dict[str, object]:
    """Builds the generated module on the meta device, in a process of its own."""
    compiled = compile_plan("plan", plan).compiled
    assert compiled is not None
    for name, text in emit(compiled).files.items():
        if name.endswith(".py") and "/" not in name:
            (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", "-c", COUNT], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("library", "name", "tp"),
    [
        ("llama3", "llama3_2_1b", 1),
        ("llama3", "llama3_1_405b", 8),
        ("qwen3", "qwen3_8b", 16),
        ("mistral", "mistral_7b", 8),
        ("gemma2", "gemma2_9b", 4),
    ],
)
def test_generated_module_has_as_many_elements(
    library: str, name: str, tp: int, tmp_path: Path
) -> None:
    """tp 16 is more than qwen3_8b's 8 key/value heads: wk and wv are cut in 8 parts only."""
    model = standard_models(library)[name]
    counts = module_counts(plan_of(model, tp), tmp_path)
    assert counts["whole"] == PUBLISHED[library][name]
    assert counts["devices"] == ["meta"]
    local = counts["local"]
    assert isinstance(local, dict)
    for parameter, shape in parameter_shapes(model).items():
        parts = 1 if len(shape) == 1 else tp
        if parameter.endswith((".wk", ".wv")):
            parts = min(tp, shape[0])
        assert local[parameter] * parts == math.prod(shape), parameter
