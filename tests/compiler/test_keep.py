"""What the backward finds, for each `recompute`, against values named by hand."""

from __future__ import annotations

import pytest

from compiler.problems.recompute import UnknownOperator
from compiler.rank_program import BlockProgram, Checkpoint, Kept, RankProgram, Region
from tests.compiler.specs import planned

NOTHING: set[str] = set()
WHOLE = "tp = 1, dp = 8"
SAVED = {
    *("x", "attention_in", "q_rotated", "k_rotated", "v", "o"),
    *("x_mid", "ffn_in", "gate", "up", "inner"),
}


def layer(recompute: str, axes: str = "tp = 2") -> BlockProgram:
    (kind,) = planned(("tp = 2", f"{axes}, recompute = {recompute}")).program().kinds
    return kind


def found(block: BlockProgram, how: Kept) -> set[str]:
    lines = (s for s in block.statements if not isinstance(s, Region))
    values = (*block.inputs, *(value for line in lines for value in line.outputs))
    return {value.name for value in values if value.kept is how}


@pytest.mark.parametrize(
    ("recompute", "again", "saved"),
    [
        ("none", NOTHING, SAVED),
        ("[]", NOTHING, SAVED),
        ("[swiglu]", {"inner"}, SAVED - {"inner"}),
        ("[rms_norm]", {"attention_in", "ffn_in"}, SAVED - {"attention_in", "ffn_in"}),
        (
            "[rope]",
            {"q_rotated", "k_rotated"},
            SAVED - {"q_rotated", "k_rotated"} | {"q", "k"},
        ),
        ("[rope, linear]", {"q", "k", "v", "q_rotated", "k_rotated", "gate", "up"}, None),
        ("[attention]", {"o"}, SAVED - {"o"}),
        ("[add]", {"x_mid"}, SAVED - {"x_mid"} | {"attention_out_scattered"}),
    ],
)
def test_listed_operators_run_again_and_what_they_read_is_there(
    recompute: str, again: set[str], saved: set[str] | None
) -> None:
    block = layer(recompute)
    assert found(block, Kept.RECOMPUTED) == again
    assert found(block, Kept.SAVED) == (SAVED - again if saved is None else saved)
    assert found(block, Kept.REGATHERED) == {"attention_in_gathered", "ffn_in_gathered"}


def test_a_full_recomputation_keeps_the_input_only() -> None:
    block = layer("full")
    assert found(block, Kept.SAVED) == {"x"}
    assert found(block, Kept.RECOMPUTED) == found(block, Kept.REGATHERED) == set()


@pytest.mark.parametrize(
    ("recompute", "axes", "policy"),
    [
        ("none", WHOLE, None),
        ("none", "tp = 2", "selective"),
        ("[swiglu]", WHOLE, "selective"),
        ("[rms_norm]", "tp = 2", "selective"),
        ("full", WHOLE, "full"),
    ],
)
def test_a_layer_is_checkpointed_where_something_runs_again(
    recompute: str, axes: str, policy: str | None
) -> None:
    program = planned(("tp = 2", f"{axes}, recompute = {recompute}")).program()
    nodes = [node for node in program.delegated if isinstance(node, Checkpoint)]
    assert [(node.block, node.policy) for node in nodes] == ([("layer", policy)] if policy else [])


def test_every_stage_has_the_kinds_of_its_own_way_to_recompute() -> None:
    """Six layers on stages of 1, 2, 2 and 1; two stages recompute alike."""
    ways = "by_stage([full, none, [swiglu], none])"
    changes = ("tp = 2", f"tp = 2, pp = 4, dp = 1, recompute = {ways}")
    program = planned(changes, ("layers = 2", "layers = 6")).program()
    names = ["layer.full", "layer.none", "layer.swiglu"]
    assert [kind.name for kind in program.kinds] == names
    assert program.layers == (0, 1, 1, 2, 2, 1)
    nodes = {node.block: node.policy for node in program.delegated if isinstance(node, Checkpoint)}
    assert [nodes[name] for name in names] == ["full", "selective", "selective"]


def test_equal_entries_of_a_list_are_one_way() -> None:
    def program(recompute: str) -> RankProgram:
        return planned(("tp = 2", f"tp = 2, pp = 2, dp = 2, recompute = {recompute}")).program()

    assert program("by_stage([full, full])") == program("full")


def test_an_operator_that_the_layers_lack_is_refused_with_the_closest() -> None:
    refused = planned(("tp = 2", "tp = 2, recompute = [swiglu, rmsnorm]"))
    assert refused.plan is None
    (diagnostic,) = refused.diagnostics
    assert diagnostic.slug == UnknownOperator.slug
    assert diagnostic.primary is not None
    assert refused.at(diagnostic.primary.span) == "[swiglu, rmsnorm]"
    assert diagnostic.helps == ("write `recompute = [swiglu, rms_norm]`",)
