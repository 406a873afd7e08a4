"""Lowering a Llama layer: the collectives, sums and norm groups that must stand there, by hand."""

from __future__ import annotations

import pytest

from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Collective,
    Fsdp,
    GradientSum,
    Kept,
    NormGroup,
    RankProgram,
    Region,
    Statement,
)
from tests.compiler.specs import planned

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")


def lines(block: BlockProgram) -> list[Statement]:
    """All statements, those of regions in their place."""
    return [
        line
        for statement in block.statements
        for line in (statement.statements if isinstance(statement, Region) else (statement,))
    ]


def collectives(block: BlockProgram) -> list[tuple[str, str, str, tuple[str, ...], str]]:
    return [
        (*line.inputs, line.pair, line.axis, line.atoms, line.dim)
        for line in lines(block)
        if isinstance(line, Collective)
    ]


def fsdp(program: RankProgram) -> Fsdp:
    (node,) = (node for node in program.delegated if isinstance(node, Fsdp))
    return node


def layouts(block: BlockProgram) -> dict[str, str]:
    return {v.name: str(v.layout) for line in lines(block) for v in line.outputs}


def test_layer_at_tp_2_gathers_and_scatters_twice() -> None:
    program = planned().program()
    assert [(atom.name, atom.size) for atom in program.mesh.atoms] == [("shard", 4), ("tp", 2)]
    (layer,) = program.kinds
    assert collectives(layer) == [
        ("attention_in", "all_gather", "tp", ("tp",), "seq"),
        ("attention_out", "reduce_scatter", "tp", ("tp",), "seq"),
        ("ffn_in", "all_gather", "tp", ("tp",), "seq"),
        ("ffn_out", "reduce_scatter", "tp", ("tp",), "seq"),
    ]
    assert collectives(program.embedding) == [("x", "reduce_scatter", "tp", ("tp",), "seq")]
    assert collectives(program.head) == [
        ("h", "all_gather", "tp", ("tp",), "seq"),
        ("largest", "all_reduce_max", "tp", ("tp",), ""),
        ("total", "all_reduce", "tp", ("tp",), ""),
        ("picked", "all_reduce", "tp", ("tp",), ""),
    ]


def test_layer_at_tp_2_lies_as_drawn() -> None:
    (layer,) = planned().program().kinds
    where = layouts(layer)
    assert where["attention_in"] == "shard S(batch) tp S(seq)"
    assert where["attention_in_gathered"] == "shard S(batch)"
    assert where["q"] == where["o"] == "shard S(batch) tp S(heads)"
    assert where["k_rotated"] == "shard S(batch) tp S(kv_heads)"
    assert where["attention_out"] == where["ffn_out"] == "shard S(batch) tp P(sum)"
    assert where["inner"] == "shard S(batch) tp S(d_ff)"
    assert where["x_mid"] == where["x_out"] == "shard S(batch) tp S(seq)"


def test_head_at_tp_2_has_a_sum_pending_over_data_and_none_over_tp() -> None:
    head = planned().program().head
    assert layouts(head)["total_reduced"] == "shard S(batch) tp I"
    assert str(head.output.layout) == "shard P(sum) tp I"


def test_weights_at_tp_2() -> None:
    (layer,) = planned().program().kinds
    held = {p.name.rpartition(".")[2]: (p.shape, str(p.layout)) for p in layer.parameters}
    assert held["wq"] == ((4, 8, 64), "tp S(heads)")
    assert held["wk"] == held["wv"] == ((1, 8, 64), "tp S(kv_heads)")
    assert held["wo"] == ((64, 4, 8), "tp S(heads)")
    assert held["w_gate"] == held["w_up"] == ((48, 64), "tp S(d_ff)")
    assert held["w_down"] == ((64, 48), "tp S(d_ff)")
    owed = {p.name: p.gradient_sums for p in layer.parameters}
    assert owed.pop("attention_norm.weight") == owed.pop("ffn_norm.weight") == ("tp",)
    assert set(owed.values()) == {()}


def test_step_at_tp_2() -> None:
    step = planned().program().step
    norms = ("layer/attention_norm.weight", "layer/ffn_norm.weight", "head/final_norm.weight")
    cut = (
        "embedding/weight",
        *(f"layer/attention.{name}" for name in MATRICES[:4]),
        *(f"layer/ffn.{name}" for name in MATRICES[4:]),
        "head/head.weight",
    )
    assert step.count_over == ("shard",)
    assert step.gradient_sums == (GradientSum("tp", ("tp",), norms),)
    assert set(step.norm) == {NormGroup(("shard", "tp"), cut), NormGroup(("shard",), norms)}
    assert step.clip == 1.0
    assert step.microbatches == 2


def test_tp_4_over_2_key_value_heads_copies_them() -> None:
    program = planned(("tp = 2", "tp = 4")).program()
    assert program.mesh.axis("tp") == ("kv", "kv_copy")
    (layer,) = program.kinds
    assert collectives(layer) == [
        (name, pair, "tp", ("kv", "kv_copy"), "seq")
        for name, pair in (
            ("attention_in", "all_gather"),
            ("attention_out", "reduce_scatter"),
            ("ffn_in", "all_gather"),
            ("ffn_out", "reduce_scatter"),
        )
    ]
    assert layouts(layer)["q"] == "shard S(batch) kv S(heads) kv_copy S(heads)"
    assert layouts(layer)["k"] == "shard S(batch) kv S(kv_heads)"
    sums = {s.atoms: (s.axis, s.parameters) for s in program.step.gradient_sums}
    assert sums[("kv_copy",)] == ("kv_copy", ("layer/attention.wk", "layer/attention.wv"))
    assert sums[("kv", "kv_copy")][0] == "tp"
    groups = {name: group.atoms for group in program.step.norm for name in group.parameters}
    assert groups["layer/attention.wk"] == ("shard", "kv")
    assert groups["layer/attention.wq"] == ("shard", "kv", "kv_copy")


def test_one_key_value_head_is_computed_on_a_piece_of_the_sequence_and_gathered() -> None:
    """Every rank needs the one head whole: each computes its positions and gathers the others'."""
    (layer,) = planned(("kv_heads = 2", "kv_heads = 1")).program().kinds
    gathered = [name for name, pair, *_ in collectives(layer) if pair == "all_gather"]
    assert gathered == ["attention_in", "k", "v", "ffn_in"]
    assert layouts(layer)["k"] == "shard S(batch) kv_copy S(seq)"
    assert layouts(layer)["k_rotated"] == "shard S(batch)"


@pytest.mark.parametrize("changes", [[("tp = 2", "tp = 1")], [("tp = 2", "tp = 1, fsdp = 2")]])
def test_no_collectives_stand_in_a_block_without_tensor_ranks(
    changes: list[tuple[str, str]],
) -> None:
    program = planned(*changes).program()
    assert [collectives(block) for block in program.blocks] == [[], [], []]
    assert program.step.gradient_sums == ()


def test_hybrid_sharding_cuts_over_shard_and_sums_over_both() -> None:
    program = planned(("tp = 2", "tp = 1, fsdp = 2")).program()
    assert [(a.name, a.size) for a in program.mesh.atoms] == [("replicate", 4), ("shard", 2)]
    node = fsdp(program)
    assert (node.replicate, node.shard) == (("replicate",), ("shard",))
    assert node.units == ("embedding", "layer", "head")
    assert program.step.count_over == ("replicate", "shard")
    assert {group.atoms for group in program.step.norm} == {("shard",)}


def test_backward_gathers_again_what_only_matrix_products_read() -> None:
    program = planned().program()
    (layer,) = program.kinds
    kept = {value.name: value.kept for line in layer.statements for value in line.outputs}
    assert kept["attention_in"] is Kept.SAVED
    assert kept["attention_in_gathered"] is Kept.REGATHERED
    assert kept["ffn_in_gathered"] is Kept.REGATHERED
    assert kept["q_rotated"] is kept["k_rotated"] is kept["v"] is kept["o"] is Kept.SAVED
    assert kept["gate"] is kept["up"] is kept["inner"] is kept["x_mid"] is Kept.SAVED
    assert kept["attention_out"] is kept["ffn_out_scattered"] is Kept.DROPPED
    assert [node for node in program.delegated if isinstance(node, Checkpoint)] == [
        Checkpoint("layer", "selective")
    ]


def test_program_does_not_grow_with_depth() -> None:
    shallow = planned().program()
    deep = planned(("layers = 2", "layers = 200")).program()
    assert deep.blocks == shallow.blocks
    assert deep.step == shallow.step


def test_tied_head_owns_nothing() -> None:
    program = planned(("  layer {", "  head { tied = true }\n  layer {")).program()
    listed = {name for group in program.step.norm for name in group.parameters}
    assert "embedding/weight" in listed
    assert "head/head.weight" not in listed
    head = {p.name: p.tied_to for p in program.head.parameters}
    assert head == {"final_norm.weight": "", "head.weight": "embedding.weight"}


def test_every_parameter_is_in_one_norm_group_and_in_at_most_one_sum() -> None:
    step = planned(("tp = 2", "tp = 4")).program().step
    for lists in (step.norm, step.gradient_sums):
        names = [name for entry in lists for name in entry.parameters]
        assert len(names) == len(set(names))
