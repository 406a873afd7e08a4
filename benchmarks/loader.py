"""Measure reading: tokens per second of a program's loader alone, and seeking in a large corpus.

    python benchmarks/loader.py [--seconds S]

One process, no model: the batches of one rank, as `train.py` requests them, from files in the page
cache.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import torch

from backends.emit import emit
from compiler.data import SHARDS_FORMAT
from compiler.pipeline import compile_named, read
from dsl.frontend import Missing

SEQ_LEN, BATCH = 8192, 8
SPEC = """
model small {{
  vocab = 50_000, d_model = 16, layers = 1
  layer {{ attention = gqa {{ heads = 2, kv_heads = 2, rope = none }}, ffn = swiglu(16) }}
}}
cluster here {{ node = cpu {{ devices = 1 }} }}
train one {{
  steps = 1, seq_len = {seq_len}, global_batch = {batch} sequences
  optimizer = adamw {{ lr = 1e-3 }}
  data = {data}
}}
plan main {{ model = small, cluster = here, train = one, microbatch = {batch} sequences }}
"""
MIXTURE = """mixture {
  source web { data = shards { train = "x" }, weight = 0.7 },
  source code { data = shards { train = "x" }, weight = 0.3 }
}"""


class Loader(Protocol):
    """The names of a program's data.py that are used here."""

    def Corpus(self, path: str) -> object: ...
    def step_batches(self, corpus: object, position: int, device: torch.device) -> object: ...


def first_rank(_axis: str) -> int:
    return 0


def loader(data: str) -> Loader:
    """data.py of a program that reads `data`, as a module that only exists here."""
    text = SPEC.format(seq_len=SEQ_LEN, batch=BATCH, data=data)
    loaded = read("loader.llama", lambda path: text if path == "loader.llama" else Missing())
    if loaded.spec is None:
        raise ValueError(loaded.diagnostics)
    compiled = compile_named(loaded.spec, "main").compiled
    if compiled is None:
        raise ValueError("the plan has errors")
    files = emit(compiled).files
    modules = {name: ModuleType(name) for name in ("config", "parallel", "data")}
    sys.modules |= modules
    exec(files["config.py"], vars(modules["config"]))
    vars(modules["parallel"])["coordinate"] = first_rank
    exec(files["data.py"], vars(modules["data"]))
    return cast("Loader", modules["data"])


def write_shards(folder: Path, shards: int, tokens: int, sources: int) -> None:
    """Random tokens below 50,000; documents of a thousand tokens on average."""
    generator = torch.Generator().manual_seed(0)
    entries: list[dict[str, object]] = []
    for i in range(shards):
        drawn = torch.randint(1, 50_000, (tokens,), generator=generator)
        drawn[torch.rand(tokens, generator=generator) < 1e-3] = 0
        (folder / f"{i}.bin").write_bytes(drawn.to(torch.uint16).numpy().tobytes())
        entries.append(entry(f"{i}.bin", tokens))
    each = shards * tokens // sources
    names = ("web", "code")[:sources] if sources > 1 else ("",)
    write_index(folder, entries, {name: (i * each, each) for i, name in enumerate(names)})


def entry(file: str, tokens: int) -> dict[str, object]:
    """A shard of the index, with a sum that nobody compares."""
    return {"file": file, "dtype": "uint16", "tokens": tokens, "sha256": "0" * 64}


def write_index(
    folder: Path, shards: list[dict[str, object]], sources: dict[str, tuple[int, int]]
) -> None:
    index = {"format": SHARDS_FORMAT, "largest": 49_999, "separator": 0}
    (folder / "index.json").write_text(json.dumps({**index, "sources": sources, "shards": shards}))


def speed(data: Loader, corpus: object, seconds: float) -> float:
    """Tokens a second."""
    cpu = torch.device("cpu")
    step, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        data.step_batches(corpus, step * BATCH * SEQ_LEN, cpu)
        step += 1
    return step * BATCH * SEQ_LEN / (time.perf_counter() - started)


def seek(folder: Path, data: Loader, shards: int) -> tuple[float, float]:
    """Seconds to open a corpus of 1e12 tokens, and to the first batch far inside. The shards are
    one file with holes."""
    tokens = 10**12 // shards
    with (folder / "hole.bin").open("wb") as file:
        file.truncate(2 * tokens)
    write_index(folder, [entry("hole.bin", tokens)] * shards, {"": (0, 10**12)})
    started = time.perf_counter()
    corpus = data.Corpus(str(folder))
    opened = time.perf_counter()
    data.step_batches(corpus, 10**8 * SEQ_LEN, torch.device("cpu"))
    return opened - started, time.perf_counter() - opened


def main() -> int:
    parser = argparse.ArgumentParser(description="print figures of reading")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    seconds: float = parser.parse_args().seconds
    torch.set_num_threads(1)
    print(
        f"loader alone, one thread, {BATCH} sequences of {SEQ_LEN:,} tokens, {os.cpu_count()} cores"
    )
    shards, mixture = loader('shards { train = "x" }'), loader(MIXTURE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, data, sources in (("shards", shards, 1), ("mixture of two", mixture, 2)):
            write_shards(folder, 16, 2**22, sources)
            rate = speed(data, data.Corpus(str(folder)), seconds)
            print(f"  {label:<36} {rate:14,.0f} tokens/s")
    with tempfile.TemporaryDirectory() as name:
        for count in (10_000, 60_000):
            opening, reading = seek(Path(name), shards, count)
            print(
                f"  1e12 tokens in {count:,} shards           opened in {opening:.3f} s,"
                f" first batch after {reading:.3f} s more"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
