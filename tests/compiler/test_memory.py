"""Memory against closed forms: what a layer keeps, what is in flight, what state is cut."""

from __future__ import annotations

import math

import pytest

from compiler.build_graph import build_graph
from compiler.estimates import Estimate
from compiler.local_sizes import saved_bytes
from compiler.memory import memory
from compiler.moments import in_flight
from compiler.plan import PhasePlan
from compiler.rank_program import RankProgram
from compiler.stages import stage_parameters, stages
from tests.compiler.specs import planned, standard_models

MODEL = """  vocab = 512, d_model = 64, layers = 2
  layer {
    attention = gqa { heads = 8, kv_heads = 2, rope = rope { theta = 10_000 } }
    ffn       = swiglu(96)
  }"""


def program_of(*changes: tuple[str, str]) -> tuple[PhasePlan, RankProgram]:
    found = planned(*changes)
    assert found.plan is not None, found.diagnostics
    return found.plan.main, found.program()


def parts(tree: Estimate) -> dict[str, float]:
    """Of the first stage."""
    return {part.name: part.value for part in tree.children[0].children}


@pytest.mark.parametrize("tp", [1, 2, 8])
@pytest.mark.parametrize("name", ["llama3_1_8b", "llama3_1_70b", "llama3_1_405b"])
def test_a_layer_keeps_what_the_closed_form_says(name: str, tp: int) -> None:
    """(12 + 4 g + 6 f + 4 / head_dim) x s b h / t bytes: inputs of both norms and what they make,
    queries, output and the stream between, keys and values, three of the feed-forward's width,
    the log-sum-exp in fp32; what is gathered over tp is gathered again."""
    model = standard_models("llama3")[name]
    graph = build_graph(model)
    layer = graph.kinds[0]
    h, heads, kv = (layer.size(dim) for dim in ("d_model", "heads", "kv_heads"))
    body = (
        f"vocab = 1024, d_model = {h}, layers = 1\n  layer {{\n"
        f"attention = gqa {{ heads = {heads}, kv_heads = {kv}, "
        f"rope = rope {{ theta = 10_000 }} }}\n"
        f"ffn = swiglu({layer.size('d_ff')})\n }}"
    )
    phase, program = program_of(
        (MODEL.strip(), body),
        ("tp = 2", f"tp = {tp}"),
        ("seq_len = 16", "seq_len = 4096"),
    )
    g, f, head_dim = kv / heads, layer.size("d_ff") / h, h // heads
    unit = phase.seq_len * phase.microbatch * h / tp
    wanted = (12 + 4 * g + 6 * f + 4 / head_dim) * unit
    assert saved_bytes(program.kinds[0], phase) == pytest.approx(wanted, rel=1e-12)


def test_a_layer_that_is_computed_again_keeps_its_input() -> None:
    phase, program = program_of(("tp = 2", "tp = 2, recompute = full"))
    unit = phase.seq_len * phase.microbatch * program.kinds[0].size("d_model") / 2
    assert saved_bytes(program.kinds[0], phase) == 2 * unit


def test_zero1_cuts_the_optimizer_only() -> None:
    """4 + 4 bytes a parameter whole, 8 over the four ranks that share an optimizer."""
    phase, program = program_of(("tp = 2", "tp = 1, fsdp = 4, sharding = zero1"))
    (stage,) = stages(phase, program)
    found, held = parts(memory(phase, program)), stage_parameters(stage, program)
    assert found["parameters"] == found["gradients"] == 4 * held
    assert found["optimizer"] == 8 * held / 4


def test_a_stage_keeps_what_it_would_if_all_recomputed_as_it_does() -> None:
    def memory_of(recompute: str) -> Estimate:
        changes = f"tp = 2, pp = 4, dp = 1, recompute = {recompute}"
        phase, program = program_of(("tp = 2", changes), ("layers = 2", "layers = 6"))
        return memory(phase, program)

    ways = ("full", "none", "[linear, swiglu]", "none")
    mixed = memory_of(f"by_stage([{', '.join(ways)}])")
    for stage, way in enumerate(ways):
        assert mixed.children[stage] == memory_of(way).children[stage]
    assert mixed.value < memory_of("none").value


@pytest.mark.parametrize("microbatches", [4, 8, 16])
def test_microbatches_in_flight(microbatches: int) -> None:
    batch = ("global_batch = 8 sequences", f"global_batch = {2 * microbatches} sequences")
    deep = ("layers = 2", "layers = 14")
    for schedule in ("gpipe()", "one_f_one_b()"):
        phase, _ = program_of(batch, deep, ("tp = 2", f"pp = 4, dp = 2, schedule = {schedule}"))
        for rank in range(4):
            all_of_them = schedule == "gpipe()"
            wanted = microbatches if all_of_them else min(4 - rank, microbatches)
            assert in_flight(phase, rank) == {rank: wanted}


@pytest.mark.parametrize("chunks", [2, 4])
@pytest.mark.parametrize("microbatches", [4, 8, 12])
def test_chunks_in_flight_of_an_interleaved_schedule(chunks: int, microbatches: int) -> None:
    """min(V M, (V - 1) m + 2 (P - 1 - rank) + 1), m the microbatches of a round."""
    phase, _ = program_of(
        ("global_batch = 8 sequences", f"global_batch = {2 * microbatches} sequences"),
        ("layers = 2", "layers = 14"),
        ("tp = 2", f"pp = 4, dp = 2, schedule = interleaved(chunks = {chunks})"),
    )
    per_round = microbatches // max(1, microbatches // 4)
    for rank in range(4):
        most = (chunks - 1) * per_round + 2 * (3 - rank) + 1
        assert sum(in_flight(phase, rank).values()) == min(chunks * microbatches, most)


@pytest.mark.parametrize("fsdp", [2, 4])
def test_state_is_sixteen_bytes_a_parameter_over_the_ranks_of_a_copy(fsdp: int) -> None:
    phase, program = program_of(("tp = 2", f"tp = 2, fsdp = {fsdp}"))
    found = parts(memory(phase, program))
    layer = 2 * 64 + (64 * 64 * 2 + 2 * 16 * 64) // 2 + 3 * 64 * 96 // 2
    held = 2 * layer + 64 + 2 * 512 * 64 // 2
    assert found["parameters"] == found["gradients"] == 4 * held / fsdp
    assert found["optimizer"] == 8 * held / fsdp
    ends = 64 + 2 * 512 * 64 // 2
    assert found["gathered"] == 2 * (ends + layer)


def test_a_pipeline_keeps_whole_parameters_and_gradients_until_the_last_microbatch() -> None:
    phase, program = program_of(("layers = 2", "layers = 6"), ("tp = 2", "pp = 4, dp = 2"))
    first = stages(phase, program)[0]
    held = sum(math.prod(p.shape) for blocks in first.blocks for b in blocks for p in b.parameters)
    found = parts(memory(phase, program))
    assert found["gathered"] == 2 * held
    assert found["gradients"] == 4 * held
    assert found["parameters"] == 4 * held / 2
