"""A run in phases: programs one after the other over one run folder, each through its phases."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

import llamac as api
from llamac.launch import start
from llamac.output import Written
from llamac.verify.directory import read_plan
from tests.face.calling import Invoke, process

SPEC = """
model tiny {
  vocab = 64, d_model = 16, layers = 1
  layer { attention = gqa { heads = 2, kv_heads = 1 }, ffn = swiglu(24) }
}
cluster here { node = cpu { devices = 2 } }
train ramp {
  precision   = fp32
  optimizer   = adamw { lr = 1e-2 }
  lr_schedule = cosine { warmup = 2 steps, min_lr = 1e-3 }
  data        = tokens { train = "data.bin" }
  phase short { steps = 2, seq_len = 8,  global_batch = 4 sequences }
  phase wide  { steps = 1, seq_len = 16, global_batch = 2 sequences }
  phase long  { steps = 3, seq_len = 16, global_batch = 6 sequences }
}
plan main {
  model = tiny, cluster = here, train = ramp
  phase long { cp = 2 }
}
"""
TOKENS = 600


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The file, with the data that it names beside it."""
    tokens = [*(1 + 7 * i % 63 for i in range(TOKENS - 1)), 0]  # one document
    (tmp_path / "data.bin").write_bytes(struct.pack(f"<{TOKENS}I", *tokens))
    path = tmp_path / "ramp.llama"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize(
    ("window", "expected"), [("2:3", [True, True]), ("4:5", [False, True]), ("9:9", [False, True])]
)
def test_a_profile_is_for_the_program_that_has_its_first_step(
    llamac: Invoke, spec: Path, monkeypatch: pytest.MonkeyPatch, window: str, expected: list[bool]
) -> None:
    """One that none has is for the last, which says so; what is past, a program passes over."""
    given: list[list[str]] = []

    def start(_program: Path, arguments: list[str]) -> int:
        given.append(arguments)
        return 0

    monkeypatch.setattr("llamac.launch.start", start)
    assert llamac("run", spec.name, "--profile", window).exit_code == 0
    assert [("--profile" in arguments) for arguments in given] == expected


def test_ctrl_c_before_anything_runs(
    llamac: Invoke, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("llamac.cli.report.compiled_plan", interrupted)
    done = llamac("run", spec.name)
    assert (done.exit_code, done.stderr) == (130, "stopped\n")


def test_a_program_for_phases_that_are_spread_alike(llamac: Invoke, spec: Path) -> None:
    done = llamac("compile", "ramp.llama", "-o", "out")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "out/short-wide: written\nout/long: written\n"
    assert llamac("compile", "ramp.llama", "-o", "out").stderr.count("unchanged") == 2
    readme = (spec.parent / "out" / "long" / "README.md").read_text()
    assert "phase `long` of a run: steps 4 to 6 of 6" in readme
    assert "`short`, `wide`, `long`" in readme
    readme = (spec.parent / "out" / "short-wide" / "README.md").read_text()
    assert "phases `short`, `wide` of a run: steps 1 to 3 of 6" in readme
    for folder, names in (("short-wide", ["short", "wide"]), ("long", ["long"])):
        found = read_plan(spec.parent / "out" / folder)
        assert [phase.name for phase in found.plan.phases] == names


def test_the_plan_shows_every_phase(llamac: Invoke, spec: Path) -> None:
    shown = json.loads(llamac("plan", "ramp.llama", "--json").stdout)
    assert [phase["name"] for phase in shown["phases"]] == ["short", "wide", "long"]
    assert [phase["layout"]["cp"] for phase in shown["phases"]] == [1, 1, 2]
    assert shown["programs"] == [
        {"name": "short-wide", "phases": ["short", "wide"]},
        {"name": "long", "phases": ["long"]},
    ]
    text = llamac("plan", "ramp.llama").stdout
    assert "a program for phases short, wide; one for long\n" in text
    assert shown["layout"]["cp"] == 2  # of the phase with most tokens
    assert shown["run_steps"] == 6


def test_the_run_goes_through_all_phases(spec: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In order, and with one rate over all six steps: 3 x 4 x 8 tokens, then 3 x 6 x 16 more."""
    folder = spec.parent
    done = process("run", "ramp.llama", "-o", "out", "--steps", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "out" / "long").exists()

    compiled = api.compile(spec, folder / "out")
    assert compiled == Written(folder / "out", changed=True)
    early = ["--run", str(folder / "runs" / "main"), "--data", str(folder / "data.bin")]
    assert start(folder / "out" / "long", early) == 78
    assert "phase long starts after step 3, and the run is at 2" in capfd.readouterr().err

    done = process("run", "ramp.llama", "-o", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = (folder / "runs" / "main" / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step["tokens"] for step in steps] == [32, 64, 96, 192, 288, 384]
    decay = [(1 + math.cos(math.pi * t / 4)) / 2 for t in (1, 2, 3, 4)]
    rates = [0.005, 0.01, *(1e-3 + 9e-3 * share for share in decay)]
    assert [step["lr"] for step in steps] == pytest.approx(rates)
