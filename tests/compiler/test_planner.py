"""The planner: what it derives, and what it refuses, each with the place and the way out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.compiler.specs import planned


def test_dp_is_what_tp_leaves() -> None:
    found = planned()
    assert (found.value("world"), found.value("tp"), found.value("dp")) == (8, 2, 4)
    assert found.plan is not None
    assert found.plan.main.decision("dp").origin == "derived"


def test_fsdp_is_all_of_dp_unless_written() -> None:
    assert planned().value("fsdp") == 4
    written = planned(("tp = 2", "tp = 2, fsdp = 2"))
    assert written.value("fsdp") == 2
    assert written.plan is not None
    assert written.plan.main.decision("fsdp").origin == "written"
    assert [(a.name, a.size) for a in written.plan.main.mesh.atoms] == [
        ("replicate", 2), ("shard", 2), ("tp", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["fsdp = 1", "sharding = none"])
def test_replicated_has_no_shard_atom(line: str) -> None:
    found = planned(("tp = 2", f"tp = 2, {line}"))
    assert found.value("sharding") == "none"
    assert found.plan is not None
    assert found.plan.main.mesh.axis("dp") == ("replicate",)


def test_one_rank_has_an_empty_mesh() -> None:
    found = planned(
        ("nodes = 2", "nodes = 1"), ("devices = 4", "devices = 1"), ("tp = 2", "tp = 1")
    )
    assert found.plan is not None
    assert found.plan.main.mesh.atoms == ()
    assert found.value("sharding") == "none"


@pytest.mark.parametrize(
    ("batch", "microbatch", "count"),
    [
        ("8 sequences", "", 2),
        ("8 sequences", "microbatch = 2 sequences", 1),
        ("256 tokens", "microbatch = 2", 2),
    ],
)
def test_microbatches_are_what_the_batch_leaves(batch: str, microbatch: str, count: int) -> None:
    """256 tokens of 16 are 16 sequences; dp is 4."""
    found = planned(("8 sequences", batch), ("tp = 2", f"tp = 2, {microbatch}"))
    assert found.value("microbatches") == count


def test_tokens_become_steps_rounded_up() -> None:
    """1,000 tokens at 8 x 16 a step are 7.8 steps."""
    assert planned(("steps = 10", "tokens = 1000")).value("train.steps") == 8


def test_tp_above_the_key_value_heads_splits_into_heads_and_copies() -> None:
    found = planned(
        ("tp = 2", "tp = 8"), ("nodes = 2", "nodes = 1"), ("devices = 4", "devices = 8")
    )
    assert found.plan is not None
    assert [(a.name, a.size) for a in found.plan.main.mesh.atoms] == [("kv", 2), ("kv_copy", 4)]
    assert found.plan.main.cut("heads") == ("kv", "kv_copy")
    assert found.plan.main.cut("kv_heads") == ("kv",)


@dataclass(frozen=True)
class Refusal:
    """What is written, and what comes back: the text pointed at, and the choices offered."""

    slug: str
    changes: tuple[tuple[str, str], ...]
    points_at: str
    helps: str = ""


def plan_line(text: str) -> tuple[tuple[str, str], ...]:
    """`tp = 2` and more in the plan."""
    return (("tp = 2", f"tp = 2, {text}"),)


def train_line(text: str) -> tuple[tuple[str, str], ...]:
    return (("adamw { lr = 1e-3 }", f"adamw {{ lr = 1e-3 }}\n  {text}"),)


THREE_HEADS = (("kv_heads = 2", "kv_heads = 3"), ("heads = 8,", "heads = 12, head_dim = 8,"))

REFUSALS = (
    Refusal("mesh-mismatch", plan_line("dp = 3"), "3", "`dp = 4`"),
    Refusal("does-not-divide", (("swiglu(96)", "swiglu(97)"),), "2", "`tp = 1`"),
    Refusal("does-not-divide", (("vocab = 512", "vocab = 511"),), "2", "`tp = 1`"),
    Refusal("does-not-divide", (("seq_len = 16", "seq_len = 15"),), "2", "`tp = 1`"),
    Refusal(
        "does-not-divide",
        (("8 sequences", "9 sequences"),),
        "9 sequences",
        "`global_batch = 8 sequences`",
    ),
    Refusal(
        "does-not-divide",
        plan_line("microbatch = 3 sequences"),
        "8 sequences",
        "`microbatch = 2`",
    ),
    Refusal(
        "does-not-divide",
        (("8 sequences", "100 tokens"),),
        "100 tokens",
        "`global_batch = 128 tokens`",
    ),
    Refusal("kv-heads-against-tp", THREE_HEADS, "2", "`tp = 1`"),
    Refusal("fsdp-against-dp", plan_line("fsdp = 3"), "3", "`fsdp = 2`"),
    Refusal("replicated-and-cut", plan_line("fsdp = 2, sharding = none"), "2"),
    Refusal("length-given-twice", (("steps = 10", "steps = 10, tokens = 100"),), "100"),
    Refusal("undetermined", (("steps = 10,", ""),), "short", "`tokens = 100G`"),
    Refusal(
        "undetermined",
        (("global_batch = 8 sequences", ""),),
        "short",
        "`global_batch = 4Mi tokens`",
    ),
    Refusal("undetermined", (("seq_len = 16", ""),), "short", "`seq_len = 8192`"),
    Refusal("schedule-too-long", train_line("lr_schedule = wsd { warmup = 4, decay = 7 }"), "4"),
    Refusal(
        "vocab-too-small",
        train_line("data = tokens { separator = 512 }"),
        "tokens { separator = 512 }",
    ),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda r: f"{r.slug}: {r.changes[0][1]}")
def test_refused_with_place_and_choices(refusal: Refusal) -> None:
    found = planned(*refusal.changes)
    assert found.plan is None
    (diagnostic,) = (d for d in found.diagnostics if d.is_error)
    assert diagnostic.slug == refusal.slug
    assert diagnostic.primary is not None
    assert found.at(diagnostic.primary.span) == refusal.points_at
    assert refusal.helps in " ".join(diagnostic.helps)


@pytest.mark.parametrize(
    ("changes", "typed"),
    [
        # 3 heads fit on 1 or 3 ranks, and 3 does not divide the 8 ranks there are.
        (THREE_HEADS, [{"tp = 2": "tp = 1"}]),
        # With dp written, tp = 1 alone tiles no 8 ranks.
        ((*THREE_HEADS, *plan_line("dp = 4")), [{"tp = 2": "tp = 1", "dp = 4": "dp = auto"}]),
        # Of the divisors of 100 only 1, 2 and 4 tile 8 ranks, and 2 sequences reach two dp ranks.
        (
            (("swiglu(96)", "swiglu(100)"), ("8 seq", "2 seq"), ("tp = 2", "tp = 8")),
            [{"tp = 8": "tp = 4"}],
        ),
    ],
)
def test_what_a_help_says_makes_a_plan(
    changes: tuple[tuple[str, str], ...], typed: list[dict[str, str]]
) -> None:
    (wrong,) = (d for d in planned(*changes).diagnostics if d.is_error)
    said = [", ".join(change.values()) for change in typed]
    assert wrong.helps[0] == "write " + " or ".join(f"`{text}`" for text in said)
    for change in typed:
        assert planned(*changes, *change.items()).plan is not None, change


def test_tp_that_tiles_nothing_is_told_once() -> None:
    found = planned(("tp = 2", "tp = 3"))
    assert found.slugs == ["mesh-mismatch"]
    assert "`tp = 2` (gives dp = 4) or `tp = 4` (gives dp = 2)" in found.diagnostics[0].helps[0]


def test_all_problems_of_a_plan_are_told_at_once() -> None:
    found = planned(("swiglu(96)", "swiglu(97)"), ("vocab = 512", "vocab = 511"))
    assert found.slugs == ["does-not-divide", "does-not-divide"]


def test_tensor_groups_across_nodes_are_a_warning() -> None:
    found = planned(("tp = 2", "tp = 8"))
    assert found.plan is not None
    assert found.slugs == ["tp-across-nodes"]
