"""Every statement and parameter knows the component of the model that it was built for."""

from __future__ import annotations

from compiler.rank_program import BlockProgram, Region
from tests.compiler.specs import planned


def origins(block: BlockProgram) -> dict[str, str]:
    """By the name of a value or a parameter, those of regions in their place."""
    found = {parameter.name: str(parameter.origin) for parameter in block.parameters}
    for statement in block.statements:
        lines = statement.statements if isinstance(statement, Region) else (statement,)
        found |= {value.name: str(line.origin) for line in lines for value in line.outputs}
    return found


def test_a_layer_quotes_its_components() -> None:
    """A collective has the origin of the operator that asked for it."""
    (layer,) = planned().program().kinds
    found = origins(layer)
    assert found["attention_in"] == found["attention_norm.weight"] == "model.norm (rms)"
    gqa = "model.layer.attention (gqa)"
    assert {found[name] for name in ("attention_in_gathered", "q", "o", "attention.wq")} == {gqa}
    assert found["q_rotated"] == "model.layer.attention.rope (rope)"
    assert found["inner"] == found["ffn.w_up"] == "model.layer.ffn (swiglu)"
    assert found["attention_out_scattered"] == found["x_mid"] == "model.layer (layer)"


def test_the_ends_quote_theirs() -> None:
    program = planned().program()
    assert set(origins(program.embedding).values()) == {"model.embedding (embedding)"}
    head = origins(program.head)
    assert head["h"] == "model.norm (rms)"
    assert head["h_gathered"] == head["loss"] == head["head.weight"] == "model.head (head)"


def test_a_kind_of_a_pattern_has_its_number() -> None:
    second = ("swiglu(96)\n  }", "swiglu(96)\n  }\n  layer where i == 1 { ffn = swiglu(48) }")
    _, kind = planned(second).program().kinds
    assert origins(kind)["inner"] == "model.layer[1].ffn (swiglu)"
    assert origins(kind)["attention.wq"] == "model.layer[1].attention (gqa)"
