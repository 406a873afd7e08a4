"""From an observable to where to start reading: the line of the program that computes it, and the
component of the spec that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from compiler.graph import ModelGraph
from llamac.verify.result import TwinResult

FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "initial": ("train.py", "if fresh:"),
    "loss": ("train.py", "def train_step("),
    "grad_norm": ("parallel.py", "def clip_gradients("),
    "lr": ("train.py", "def learning_rate("),
    "schedule": ("train.py", "def learning_rate("),
    "order": ("data.py", "def shuffled("),
    "tokens": ("train.py", "def train_step("),
    "position": ("data.py", "def next_position("),
    "skipped": ("train.py", "skipped = "),
    "unchanged": ("train.py", "skipped = "),
    "logits": ("train.py", "def next_logits("),
    "sample": ("train.py", "def sample("),
    "exp_avg": ("train.py", "optimizer.step()"),
    "exp_avg_sq": ("train.py", "optimizer.step()"),
    "parameter": ("train.py", "optimizer.step()"),
    "adam_step": ("train.py", "optimizer.step()"),
    "val_loss": ("train.py", "def evaluate("),
}


def line_of(files: Mapping[str, str], observable: str, tensor: str) -> str:
    """`model.py:75: the line`, or '' where the text does not show it.

    A gradient points to the first operator that uses its parameter.
    """
    if observable == "gradient":
        local = re.sub(r"^layers\.\d+\.", "", tensor)
        file, pattern = "model.py", rf"\bself\.{re.escape(local)}\b"
    else:
        file, text = FUNCTIONS[observable]
        pattern = re.escape(text)
    for number, line in enumerate(files.get(file, "").splitlines(), start=1):
        if re.search(pattern, line):
            return f"{file}:{number}: {line.strip()}"
    return ""


def with_origins(result: TwinResult, graph: ModelGraph) -> TwinResult:
    """The result, each difference with the component whose parameter it is of."""
    origins = graph.origins()
    found = (
        replace(difference, origin=str(origins.get(difference.tensor, "")))
        for difference in result.differences
    )
    return replace(result, differences=tuple(found))
