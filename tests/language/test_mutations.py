"""Whatever is written, the answer is located diagnostics or programs: never a traceback."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from compiler.pipeline import compile_named
from compiler.schema import PlanSpec
from llamac import api

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.llama"))
SEED = 4
CASES = 200

NUMBER = re.compile(r"(?<![\w.])\d[\d_]*(\.\d+)?(e-?\d+)?")
NUMBERS = ("0", "1", "2", "3", "7", "16", "48", "1_000_003", "2.5", "1e-3", "8Ki", "12.4T", "-1")
PLAN_LINES = (
    "tp = 3", "tp = 16", "pp = 2", "pp = 3", "pp = 64", "cp = 2", "cp = 3", "fsdp = 1", "fsdp = 2",
    "fsdp = 3", "dp = 1", "dp = 3", "ep = 2", "sharding = none", "sharding = zero1",
    "sharding = zero2", "sharding = zero3", "schedule = gpipe",
    "schedule = interleaved(chunks = 2)",
    "schedule = interleaved(chunks = 200)", "schedule = one_f_one_b", "stages = [1, 2]",
    "stages = []", "stages = [0, 0]", "order = [dp, cp, pp, tp]", "order = [tp]", "order = []",
    "microbatch = 3", "microbatch = auto", "recompute = full", "recompute = [swiglu]",
    "recompute = []", "compile = true", "phase nowhere { tp = 2 }", "phase long { dp = 2 }",
    "recompute = by_stage([full, [swiglu]])",
    "phase long { recompute = [attention] }", "phase main { schedule = gpipe }",
    "assert dp == 3", "assert nothing < 3", "minimize step_time",
    "model { layer { attention { mask = chunked(8Ki) } } }",
    "model { layer { attention { mask = sliding(7) } } }",
    "model { layer { attention { kv_heads = 3 } } }", "model { layers = 0 }",
    "model { layer { attention { rope = none } } }", "model { head { tied = true } }",
    "train { seq_len = 0 }", "train { seq_len = 1 }", "train { global_batch = 1 tokens }",
    "train { clip = none }", "train { lr_schedule = wsd { decay = 1_000_000_000_000 } }",
    "train { phase extra { steps = 3 } }", "train { steps = 5, tokens = 6 }",
    "train { data = text { train = \"x\" } }", "train { eval = eval { every = 3 } }",
    "cluster { nodes = 0 }", "cluster { nodes = 3 }", "cluster { node = cpu { devices = 1 } }",
)  # fmt: skip
"""Written at the end of every plan."""


def planned_with(text: str, line: str) -> str:
    """The line as the last word of every plan, instead of what the plan said about it."""
    field = re.match(r"(\w+|phase \w+) [={]", line)
    if field and field[1] not in ("model", "train", "cluster"):
        rest, plan, plans = text.partition("\nplan ")
        text = rest + plan + re.sub(rf"(?m)^  {field[1]}\s*[={{].*\n", "", plans)
    return re.sub(r"(?s)(\nplan .*?)\n}", lambda plan: f"{plan[1]}\n  {line}\n}}", text)


def mutated(text: str, rng: random.Random) -> str:
    """One to three changes: a number, a line left out, a line of a plan."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        if kind < 0.4:
            found = [*NUMBER.finditer(text)]
            at = rng.choice(found)
            text = text[: at.start()] + rng.choice(NUMBERS) + text[at.end() :]
        elif kind < 0.5:
            lines = text.splitlines()
            lines.pop(rng.randrange(len(lines)))
            text = "\n".join(lines) + "\n"
        else:
            text = planned_with(text, rng.choice(PLAN_LINES))
    return text


def answers(text: str, folder: Path) -> None:
    """`llamac check` of the text; raises where it would end in a traceback."""
    path = folder / "spec.llama"
    path.write_text(text)
    loaded = api.load(path)
    for diagnostic in loaded.diagnostics:
        assert diagnostic.primary is not None
    if loaded.spec is None:
        assert any(diagnostic.is_error for diagnostic in loaded.diagnostics)
        return
    for name in loaded.spec.all(PlanSpec):
        result = compile_named(loaded.spec, name)
        errors = [diagnostic for diagnostic in result.diagnostics if diagnostic.is_error]
        assert (result.compiled is None) == bool(errors)
        for diagnostic in result.diagnostics:
            assert diagnostic.primary is not None, diagnostic


@pytest.mark.parametrize("case", range(CASES))
def test_no_traceback(case: int, tmp_path: Path) -> None:
    rng = random.Random(SEED * 100_000 + case)
    answers(mutated(rng.choice(EXAMPLES).read_text(), rng), tmp_path)
