"""Small plans, their programs, and how tests run them: through `launch/local.sh`, as users do."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from backends.emit import emit
from backends.program import Program
from backends.pytorch.emit import PyTorch
from backends.pytorch.versions import NEWEST, TorchVersion
from compiler.pipeline import Compiled, Result, compile_named, read
from dsl.frontend import Missing
from tests import warm

SAMPLE_TOKENS = 4
TEXT = """
model small {
  vocab = 256, d_model = 16, layers = 2
  layer {
    attention = gqa {
      heads = 4, kv_heads = 2, qk_norm = rms(eps = 1e-6), rope = rope { theta = 10_000 }
    }
    ffn       = swiglu(24)
  }
}
cluster here { node = cpu { devices = 4 } }
train short {
  steps = 6, seq_len = 16
  global_batch = 8 sequences
  precision = fp32
  optimizer = adamw { lr = 1e-2 }
  lr_schedule = cosine { warmup = 2 }
  data = text { train = "train", validation = "validation" }
  eval = eval { every = 3 steps, sequences = 5, prompt = "a" }
  checkpoint = checkpoint { every = 2 steps }
}
plan main {
  model = small, cluster = here, train = short
  dp = 2, tp = 2, microbatch = 2 sequences
}
"""


def compiled(*settings: tuple[str, str], text: str = TEXT) -> Compiled:
    """The plan of `text` with values set by path, as `--set` does it."""
    loaded = read(
        "small.llama", lambda path: text if path == "small.llama" else Missing(), settings
    )
    assert loaded.spec is not None, loaded.diagnostics
    result: Result = compile_named(loaded.spec, "main")
    assert result.compiled is not None, result.diagnostics
    return result.compiled


def program(*settings: tuple[str, str], torch: TorchVersion = NEWEST) -> Program:
    """The plan's program. Its samples are short: each token of one is a forward of the model."""
    made = emit(compiled(*settings), backend=PyTorch(torch))
    sampled = "SAMPLE_TOKENS = " in made.files["config.py"]
    return replaced(made, SAMPLE_TOKENS=SAMPLE_TOKENS) if sampled else made


def write(made: Program, folder: Path) -> Path:
    """The program's files in `folder`."""
    for name, text in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if name in made.executable else 0o644)
    return folder


def replaced(made: Program, **values: object) -> Program:
    """The program with other values in config.py."""
    lines = made.files["config.py"].splitlines()
    for name, value in values.items():
        (index,) = [i for i, line in enumerate(lines) if line.startswith(f"{name} = ")]
        lines[index] = f"{name} = {value!r}"
    return Program({**made.files, "config.py": "\n".join([*lines, ""])}, made.executable)


def write_text(folder: Path) -> None:
    """`train/` and `validation/` with a few documents each, some shorter than a sequence."""
    for name, count in (("train", 12), ("validation", 4)):
        (folder / name / "deep").mkdir(parents=True)
        for i in range(count):
            content = bytes((7 * i + 3 * j * j) % 96 + 32 for j in range(5 + 23 * i))
            (folder / name / ("deep" if i % 2 else ".") / f"{i}.txt").write_bytes(content)


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHON": warm.python(), "OMP_NUM_THREADS": "1", **changes}


def launch(
    folder: Path, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program to its end in `cwd`, where its data lies."""
    return subprocess.run(
        ["bash", str(folder / "launch" / "local.sh"), *arguments],
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def metrics(run: Path) -> list[dict[str, float | None]]:
    """One record a step."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
