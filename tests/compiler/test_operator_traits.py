"""What an operator says of itself is enough: a matrix product that no table names, put in the place
of every `linear`, is counted, saved, moved, kept and stored as it says."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from backends.pytorch import lines
from backends.pytorch.model_text.assembly import model_text
from backends.pytorch.names import Constants
from backends.pytorch.operators import Call, expression
from compiler.build_graph import build_graph
from compiler.components.builder import Builder
from compiler.estimates import flops_per_token
from compiler.graph import Component, Ones, Value
from compiler.huggingface.names import matrix_shape
from compiler.local_sizes import saved_bytes
from compiler.operators import Operator
from compiler.operators.rule import (
    Beside,
    Definition,
    Dims,
    PerElement,
    Product,
    Rule,
    Saves,
)
from compiler.placement import Partial, Placement, R, Shard
from compiler.rank_program import Compute, Kept, RankProgram
from compiler.stages import stages
from compiler.traffic import traffic
from tests.compiler.specs import Planned, planned

BATCH, SEQ, HEADS, KV_HEADS, HEAD_DIM, D_MODEL, D_FF = 1, 16, 8, 2, 8, 64, 96


def scales(dims: tuple[Dims, ...]) -> tuple[Beside, ...]:
    """One number for each row of the first input."""
    return (Beside("scale", dims[0][:2], "accumulate"),)


@dataclass(frozen=True)
class Mix(
    Definition,
    name="mix",
    work=Product(),
    outputs=("compute",),
    saves=Saves(inputs=(0,), beside=scales),
):
    """A matrix product of which nothing outside of this file knows."""

    def contracts(self, dims: tuple[Dims, ...]) -> Dims:
        return tuple(dim for dim in dims[1] if dim in dims[0])

    def infer(self, inputs: tuple[Dims, ...]) -> tuple[Dims, ...]:
        both, (x, weight) = self.contracts(inputs), inputs
        return (tuple(dim for dim in (*x, *weight) if dim not in both),)

    def rule(self, dims: tuple[Dims, ...], placements: tuple[Placement, ...]) -> Rule:
        x, weight = placements
        match weight:
            case Shard(dim=dim) if dim in self.contracts(dims):
                return Rule((weight, weight), (Partial(),))
            case Shard():
                return Rule((R, weight), (weight,))
            case _:
                x = x if isinstance(x, Shard) and x.dim not in self.contracts(dims) else R
                return Rule((x, R), (x,))


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Planned]:
    """The small spec on tp 2, its plan changed, with `mix` for every product of a weight."""

    def printed(operator: Operator, call: Call) -> str:
        return f"mix({call.texts()})" if operator == Mix() else expression(operator, call)

    for module in ("compiler.components.projection", "compiler.build_graph"):
        monkeypatch.setattr(f"{module}.Linear", Mix)
    monkeypatch.setattr(lines, "expression", printed)

    def plan(changes: str = "") -> Planned:
        return planned(("tp = 2", f"tp = 2, sharding = none{changes}"))

    return plan


def test_its_flops_are_counted(mixed: Callable[[str], Planned]) -> None:
    """6 FLOPs per token and weight; 6 heads head_dim seq for the causal half of attention."""
    found = flops_per_token(build_graph(mixed("").spec.model), SEQ)
    _, layer, head = found.children
    one = {child.name: child.value for child in layer.children}
    assert one == {
        "q": 6 * HEADS * HEAD_DIM * D_MODEL,
        "k": 6 * KV_HEADS * HEAD_DIM * D_MODEL,
        "v": 6 * KV_HEADS * HEAD_DIM * D_MODEL,
        "o": 6 * HEADS * HEAD_DIM * SEQ,
        "attention_out": 6 * HEADS * HEAD_DIM * D_MODEL,
        "gate": 6 * D_FF * D_MODEL,
        "up": 6 * D_FF * D_MODEL,
        "ffn_out": 6 * D_FF * D_MODEL,
    }
    assert head.value == 6 * 512 * D_MODEL


def test_what_it_saves_is_counted(mixed: Callable[[str], Planned]) -> None:
    """The closed form of a layer of `linear`, in bf16, and four bytes for each row of an input of
    the seven products; both in proportion on each of two ranks, but rows of what is gathered."""
    found = mixed("")
    assert found.plan is not None
    (layer,) = found.program().kinds
    tokens = BATCH * SEQ
    whole = 6 * D_MODEL + 2 * KV_HEADS * HEAD_DIM + 3 * D_FF  # stream, q, o, k and v, three of d_ff
    usual = tokens * (2 * whole // 2 + 4 * HEADS // 2)  # and the log-sum-exp
    assert saved_bytes(layer, found.plan.main) == usual + 7 * 4 * tokens


@pytest.mark.parametrize(("recompute", "kept"), [("[mix]", 0), ("full", 0), ("[rope]", 7)])
def test_what_runs_again_saves_nothing_beside(
    mixed: Callable[[str], Planned], recompute: str, kept: int
) -> None:
    (layer,) = mixed(f", recompute = {recompute}").program().kinds
    computes = (line for line in layer.statements if isinstance(line, Compute))
    found = [value.kept for line in computes if line.operator == Mix() for value in line.beside]
    assert found == [Kept.SAVED] * kept + [Kept.RECOMPUTED] * (7 - kept)


def test_its_collectives_are_counted(mixed: Callable[[str], Planned]) -> None:
    """Two gathers and two scatters of the stream forward, a layer and a microbatch; in the head one
    gather more, and two numbers a token that are summed over the vocabulary."""
    found = mixed("")
    assert found.plan is not None
    phase, program = found.plan.main, found.program()
    (stage,) = stages(phase, program)
    stream, microbatches, layers = SEQ * D_MODEL * 2, 2, 2
    forward = {
        t.kind: (t.count, t.bytes) for t in traffic(phase, program, stage) if t.cause == "forward"
    }
    pieces = phase.loss_chunks
    gathers, scatters = 2 * layers + 1, 2 * layers + 1
    assert forward == {
        "all_gather": (gathers * microbatches, gathers * microbatches * stream),
        "reduce_scatter": (scatters * microbatches, scatters * microbatches * stream),
        "all_reduce": (3 * pieces * microbatches, (2 + 4 + 4) * SEQ * microbatches),
    }


def printed_layer(program: RankProgram) -> tuple[list[str], list[str]]:
    (block,) = model_text(program, Constants()).blocks
    return block.declarations, block.forward


def test_its_weights_are_printed_as_matrices(mixed: Callable[[str], Planned]) -> None:
    """Rows are what is made, columns what is contracted; a cut is on the side that is cut."""
    declarations, _ = printed_layer(mixed("").program())
    assert (
        "\n".join(declarations)
        == """\
self.attention_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))
self.attention = ParameterGroup(
    wq=parameter(HEADS * HEAD_DIM, D_MODEL, tp=0),
    wk=parameter(KV_HEADS * HEAD_DIM, D_MODEL, tp=0),
    wv=parameter(KV_HEADS * HEAD_DIM, D_MODEL, tp=0),
    wo=parameter(D_MODEL, HEADS * HEAD_DIM, tp=1),
)
self.ffn_norm = ParameterGroup(weight=parameter(D_MODEL, partial="tp"))
self.ffn = ParameterGroup(
    w_gate=parameter(D_FF, D_MODEL, tp=0),
    w_up=parameter(D_FF, D_MODEL, tp=0),
    w_down=parameter(D_MODEL, D_FF, tp=1),
)"""
    )


def test_its_weights_are_matrices_of_a_hugging_face_folder(
    mixed: Callable[[str], Planned],
) -> None:
    (layer,) = build_graph(mixed("").spec.model).kinds
    shapes = {p.name: matrix_shape(p, layer) for p in layer.parameters}
    assert shapes["attention.wk"] == (KV_HEADS * HEAD_DIM, D_MODEL)
    assert shapes["attention.wo"] == (D_MODEL, HEADS * HEAD_DIM)
    assert shapes["ffn.w_down"] == (D_MODEL, D_FF)


def test_what_is_kept_of_it_is_marked(mixed: Callable[[str], Planned]) -> None:
    """The policy of a checkpoint knows no torch operator of it, so its line says `save`."""
    _, forward = printed_layer(mixed("").program())
    marked = {line.split(" = ")[0] for line in forward if "save(mix(" in line}
    assert marked == {"v", "gate", "up"}
    _, forward = printed_layer(mixed(", recompute = [mix]").program())
    assert not [line for line in forward if "save(mix(" in line]


FACTS = {
    "name": '"odd"',
    "work": "PerElement(1.0)",
    "outputs": '("compute",)',
    "saves": "Saves()",
}


def class_text(facts: dict[str, str], body: str = "pass") -> str:
    keywords = ", ".join(f"{name}={value}" for name, value in facts.items())
    return f"class Odd(Definition, {keywords}):\n    {body}\n"


WITHOUT = [{name: text for name, text in FACTS.items() if name != left_out} for left_out in FACTS]


def define(text: str) -> None:
    names = (Definition, PerElement, Product, Saves)
    exec(text, {cls.__name__: cls for cls in names})


@pytest.mark.parametrize("facts", WITHOUT)
def test_an_operator_that_leaves_a_fact_out_does_not_import(facts: dict[str, str]) -> None:
    define(class_text(FACTS))
    with pytest.raises(TypeError, match="required keyword-only argument"):
        define(class_text(facts))


def test_a_product_says_what_it_contracts() -> None:
    with pytest.raises(TypeError, match="Odd is a product: say what it `contracts`"):
        define(class_text(FACTS | {"work": "Product()"}))


def test_an_operator_of_other_dimensions_says_where_they_lie() -> None:
    infer = "infer = lambda self, inputs: ((),)"
    with pytest.raises(TypeError, match="Odd says `infer`, so it must say `rule` too"):
        define(class_text(FACTS, infer))


def test_an_operator_that_leaves_a_fact_out_does_not_type_check(tmp_path: Path) -> None:
    """One error a class, at the class: the first has all facts."""
    every = [FACTS, *WITHOUT]
    head = "from compiler.operators.rule import Definition, PerElement, Saves\n"
    text = head + "".join(
        class_text(facts).replace("Odd", f"Odd{n}") for n, facts in enumerate(every)
    )
    file = tmp_path / "odd.py"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = cast("list[dict[str, str]]", json.loads(done.stdout)["generalDiagnostics"])
    missing = [error["message"] for error in errors if error["message"].startswith("Argument")]
    assert missing == [f'Argument missing for parameter "{name}"' for name in FACTS]


MAY_NAME_OPERATORS = (
    "compiler/operators/",
    "compiler/components/",
    "compiler/build_graph.py",
    "backends/interpreter/",
    "backends/pytorch/operators/",
)
"""Where operators are defined, composed, given a meaning, and printed."""


def test_nothing_else_names_an_operator() -> None:
    root = Path(__file__).parents[2]
    general = {"Operator", "Rule", "as_operator"}
    for file in (
        f for top in ("compiler", "backends", "llamac") for f in (root / top).rglob("*.py")
    ):
        if str(file.relative_to(root)).startswith(MAY_NAME_OPERATORS):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "compiler.operators":
                assert {alias.name for alias in node.names} <= general, file


def test_a_weight_that_nothing_reads_is_a_defect() -> None:
    """Nobody could say how it is stored."""
    builder = Builder("layer", (Value("x", ("d",), "compute"),), Component("model.layer", "layer"))
    builder.dim("d", 4)
    builder.parameter("w", ("d",), Ones())
    with pytest.raises(ValueError, match="layer: no operator reads w"):
        builder.finish("x")
