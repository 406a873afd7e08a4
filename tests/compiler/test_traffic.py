"""Traffic against the closed forms of the literature, for one layer more or one hop."""

from __future__ import annotations

from compiler.stages import stages
from compiler.traffic import Transfer, traffic
from tests.compiler.specs import planned

LAYER = 2 * 64 + 64 * 64 * 2 + 2 * 16 * 64 + 3 * 64 * 96
"""Parameters of the small spec's layer."""


def transfers(*changes: tuple[str, str], stage: int = 0) -> tuple[Transfer, ...]:
    found = planned(*changes)
    assert found.plan is not None, found.diagnostics
    phase, program = found.plan.main, found.program()
    return traffic(phase, program, stages(phase, program)[stage])


def of_a_layer(*changes: tuple[str, str]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What one more layer adds, by cause, kind and axis."""
    few = {(t.cause, t.kind, " ".join(t.atoms)): t for t in transfers(*changes)}
    many = transfers(*changes, ("layers = 2", "layers = 3"))
    added: dict[tuple[str, str, str], tuple[int, int]] = {}
    for t in many:
        key = (t.cause, t.kind, " ".join(t.atoms))
        count, size = t.count - few[key].count, t.bytes - few[key].bytes
        if count or size:
            added[key] = count, size
    return added


def test_tensor_parallel_layer() -> None:
    """Forward two gathers and two scatters, their mirrors in the backward, two gathers again:
    each of tokens x d_model, in bf16, a microbatch; here two microbatches of 16 tokens."""
    found = of_a_layer(("tp = 2", "tp = 2, sharding = none"))
    stream = 16 * 64 * 2
    each = (2 * 2, 2 * 2 * stream)
    assert {key: value for key, value in found.items() if key[2] == "tp"} == {
        ("forward", "all_gather", "tp"): each,
        ("forward", "reduce_scatter", "tp"): each,
        ("backward", "all_gather", "tp"): each,
        ("backward", "reduce_scatter", "tp"): each,
        ("recomputation", "all_gather", "tp"): each,
        # two norms' gradients in fp32, in the buffer that there is anyway
        ("step", "all_reduce", "tp"): (0, 2 * 64 * 4),
    }


def test_zero3_layer() -> None:
    """2 N bytes gathered forward and again backward, 4 N scattered, a microbatch."""
    found = of_a_layer(("tp = 2", "tp = 1, fsdp = 4"))
    assert found == {
        ("sharding", "all_gather", "shard"): (2, 2 * 2 * LAYER),
        ("sharding", "reduce_scatter", "shard"): (1, 4 * LAYER),
        ("sharding", "all_reduce", "replicate"): (1, 4 * LAYER // 4),
    }


def test_zero1_layer() -> None:
    """4 N bytes summed over all copies, once a step for two microbatches; 4 N of updated weights
    gathered by the ranks that share one optimizer, a gather a parameter."""
    batch = ("8 sequences", "16 sequences")
    found = of_a_layer(("tp = 2", "tp = 1, fsdp = 4, sharding = zero1"), batch)
    assert found == {
        ("sharding", "all_reduce", "replicate shard"): (1, 4 * LAYER),
        ("step", "all_gather", "shard"): (9, 4 * LAYER),
    }


def test_zero2_layer() -> None:
    """Once a step, whatever the microbatches."""
    more = ("global_batch = 8 sequences", "global_batch = 32 sequences")
    found = of_a_layer(("tp = 2", "tp = 1, sharding = zero2"), more)
    assert found == {
        ("sharding", "all_gather", "shard"): (1, 2 * LAYER),
        ("sharding", "reduce_scatter", "shard"): (1, 4 * LAYER),
    }


def test_context_parallel_layer() -> None:
    """Whole keys and values: 4 s b h g bytes forward, the same again and back in the backward."""
    found = of_a_layer(("tp = 2", "cp = 2, dp = 4, sharding = none"))
    size = 2 * 4 * 16 * 64 * 2 // 8  # two microbatches, g = 2 / 8
    assert {key: value for key, value in found.items() if key[2] == "cp"} == {
        ("forward", "all_gather", "cp"): (4, size),
        ("recomputation", "all_gather", "cp"): (4, size),
        ("backward", "reduce_scatter", "cp"): (4, size),
    }


def test_recomputed_layer_scatters_once_more_only() -> None:
    """The last scatter of a layer feeds nothing that a backward reads."""
    found = of_a_layer(("tp = 2", "tp = 2, recompute = full"))
    stream = 16 * 64 * 2
    assert found["recomputation", "all_gather", "tp"] == (2 * 2, 2 * 2 * stream)
    assert found["recomputation", "reduce_scatter", "tp"] == (2 * 1, 2 * 1 * stream)


BY_STAGE = ["full", "none", "[linear, swiglu]", "none"]


def test_a_stage_moves_what_it_would_if_all_recomputed_as_it_does() -> None:
    layers = ("layers = 2", "layers = 6")
    pipeline = "tp = 2, pp = 4, dp = 1, recompute = "
    for stage, way in enumerate(BY_STAGE):
        mixed = ("tp = 2", f"{pipeline}by_stage([{', '.join(BY_STAGE)}])")
        alike = ("tp = 2", f"{pipeline}{way}")
        assert transfers(mixed, layers, stage=stage) == transfers(alike, layers, stage=stage)


def test_pipeline_hops() -> None:
    """tokens x d_model x 2 / t bytes a hop, there and back; ends have one neighbour, stages between
    two; beside them one number each way."""
    layers = ("layers = 2", "layers = 6")
    hop = 16 * 64 * 2
    for stage, neighbours in ((0, 1), (1, 2), (3, 1)):
        found = transfers(("tp = 2", "pp = 4, dp = 2"), layers, stage=stage)
        sent = [t for t in found if t.cause == "pipeline"]
        count, size = neighbours * (4 + 1), neighbours * (4 * hop + 4)
        assert [(t.kind, t.count, t.bytes) for t in sent] == [
            ("send", count, size),
            ("receive", count, size),
        ]


def test_a_group_of_one_moves_nothing() -> None:
    found = transfers(
        ("nodes = 2", "nodes = 1"), ("devices = 4", "devices = 1"), ("tp = 2", "tp = 1")
    )
    assert found == ()


def test_a_softcap_hands_the_loss_numbers_of_the_accumulation_dtype() -> None:
    """Three reductions over the vocabulary of one number a token. The largest logit is found in
    bf16, but in fp32 where the logits are capped: `softcap` computes in the accumulation dtype.
    (A dry run of gemma with tp 3 in bf16 moved 88,068 bytes where 81,924 were predicted.)"""

    def reduced(*changes: tuple[str, str]) -> int:
        found = transfers(("tp = 2", "tp = 2, sharding = none"), *changes)
        (forward,) = (t for t in found if (t.cause, t.kind) == ("forward", "all_reduce"))
        return forward.bytes

    tokens = 2 * 16
    assert reduced() == tokens * (2 + 4 + 4)
    assert reduced(("vocab = 512,", "head { softcap = 30.0 }\n vocab = 512,")) == 3 * tokens * 4
