"""The layers of model.py: one class for each kind, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from backends.pytorch.lines import Lines, Scope, assignment, value_of
from backends.pytorch.names import Constant, Constants, Names
from backends.pytorch.operators import Call, Prepared, prepare
from backends.pytorch.operators.prepared import GROUPS
from backends.pytorch.selections import saved_by_name, selections
from backends.pytorch.weights import group_declarations
from compiler.rank_program import BlockProgram, Checkpoint, Compute, RankProgram, Region


@dataclass(frozen=True)
class BlockText:
    """One kind of layer."""

    name: str
    says: str  # its docstring
    components: str  # of the model, by their path in the spec
    declarations: Lines
    arguments: str  # of its forward, typed
    call: str  # the same, to pass on
    forward: Lines
    checkpoint: Literal["", "selective", "full"]
    recompute: str  # the function that saves what is selected, and computes the rest again
    varies: bool  # classes that compute the same differ in how they recompute
    base: BlockText | None = None  # the first of them

    @property
    def inherits(self) -> bool:
        """Whether its base's lines are its own; marks for the backward may differ."""
        return self.base is not None and self.base.forward == self.forward


def print_kind(
    program: RankProgram, kinds: tuple[BlockProgram, ...], names: Names
) -> Iterator[BlockText]:
    """A class that computes, and for each other way to recompute one that derives from it.

    What a layer saves is marked in its lines. Where all of it runs again, marks change nothing, so
    it shares the lines of another way.
    """
    made = [_print_block(program, kind, names) for kind in kinds]
    marked = next((block for block in made if block.checkpoint == "selective"), None)
    if marked is not None:
        is_full = (block.checkpoint == "full" for block in made)
        made = [
            replace(block, forward=marked.forward) if full else block
            for block, full in zip(made, is_full, strict=True)
        ]
    yield made[0]
    yield from (replace(block, base=made[0]) for block in made[1:])


def _print_block(program: RankProgram, block: BlockProgram, names: Names) -> BlockText:
    policy = _checkpoint_policy(block, program)
    scope = Scope(program.mesh, names, {}, marks=policy == "selective")
    for value in block.inputs:
        scope.know(value, value.name)
    scope.know_parameters(block.parameters, {p.name: f"self.{p.name}" for p in block.parameters})
    lines: Lines = []
    *body, last = block.statements
    for statement in body:
        if isinstance(statement, Region):
            raise ValueError(f"{block.name}: a region inside a layer")
        lines += assignment(statement, scope)
    if isinstance(last, Region):
        raise ValueError(f"{block.name}: a layer that ends in a region")
    lines.append(f"return {value_of(last, scope)}")
    prepared = _prepare_all(block, program, names).values()
    arguments = {"x": "Tensor"} | {name: one.type for one in prepared for name in one.names}
    index = program.kinds.index(block)
    says = "One layer" + (" of its kind" if len(program.variants) > 1 else "")
    return BlockText(
        f"Block{index}" if len(program.kinds) > 1 else "Block",
        f"{says}, where recompute is {block.recompute}." if block.recompute else f"{says}.",
        _components(block),
        group_declarations(block, program.mesh, names),
        ", ".join(f"{name}: {kind}" for name, kind in arguments.items()),
        ", ".join(arguments),
        lines,
        policy,
        _recompute_function(block, program),
        bool(block.recompute),
    )


def _components(block: BlockProgram) -> str:
    """The parts of the layer that have weights: `model.layer.attention (gqa), ...`; not the norms,
    which layers share with the rest of the model, nor parts of parts."""
    origins = dict.fromkeys(parameter.origin for parameter in block.parameters)
    parts = (
        one for one in origins if one.path.startswith("model.layer") and one.path.count(".") == 2
    )
    return ", ".join(str(one) for one in parts)


def _recompute_function(block: BlockProgram, program: RankProgram) -> str:
    """`recompute`; for a second selection of what is saved `recompute_1`, and so on."""
    policies = selections(program)
    saved = saved_by_name(block)
    number = policies.index(saved) if saved in policies else 0
    return f"recompute_{number}" if number else "recompute"


def _checkpoint_policy(
    block: BlockProgram, program: RankProgram
) -> Literal["", "selective", "full"]:
    for node in program.delegated:
        if isinstance(node, Checkpoint) and node.block == block.name:
            return node.policy
    return ""


def layer_declarations(program: RankProgram, constants: Constants) -> Lines:
    """All layers; under a pipeline those of the rank's own stages, by their number."""
    several = len(program.variants) > 1
    ways = len(program.variants[0])
    if several:
        kinds_of_layers = tuple(kind // ways for kind in program.layers)
        constants.set(Constant("LAYER_KINDS", kinds_of_layers, "model.layer"))
    elif not program.mesh.axis("pp"):
        constants.set(Constant("LAYERS", len(program.layers), "model.layers"))
    kinds = ", ".join(f"Block{index}" for index in range(len(program.kinds)))
    if program.mesh.axis("pp"):
        chosen: Lines = []
        if ways > 1:
            chosen, classes = _choose_by_stage(program), _class_name(program)
        else:
            classes = f"({kinds})" if several else "Block"
        block = f"{classes}[LAYER_KINDS[i]]()" if several else f"{classes}()"
        inner = f"{{str(i): {block} for s in own for i in layers_of(s)}}"
        return [*chosen, f"self.layers = nn.ModuleDict({inner})"]
    if several:
        return [f"self.layers = nn.ModuleList(({kinds})[kind]() for kind in LAYER_KINDS)"]
    return ["self.layers = nn.ModuleList(Block() for _ in range(LAYERS))"]


def _class_name(program: RankProgram) -> str:
    return "layer" if len(program.variants) == 1 else "kinds"


def _choose_by_stage(program: RankProgram) -> Lines:
    """The classes of layers of this rank's stages, by how they recompute."""
    by_kind = [[f"Block{program.kinds.index(k)}" for k in kinds] for kinds in program.variants]
    rows: Lines = []
    for way, classes in zip(program.variants[0], zip(*by_kind, strict=True), strict=True):
        one = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
        rows.append(f'    "{way.recompute}": {one},')
    name = _class_name(program)
    return [f"{name} = {{", *rows, '}[RECOMPUTE[coordinate("pp")]]']


def _prepare_all(block: BlockProgram, program: RankProgram, names: Names) -> dict[str, Prepared]:
    """What a kind of layer reads that is made once per forward, by group."""
    cuts = bool(program.mesh.axis("cp"))
    computes = (s for s in block.statements if isinstance(s, Compute))
    found = (
        prepare(s.operator, Call((), tuple(v.dims for v in s.outputs), s.origin, names), cuts)
        for s in computes
    )
    made = {one.group: one for one in found if one is not None}
    return {group: made[group] for group in sorted(made, key=GROUPS.index)}


def print_layer_loop(program: RankProgram, names: list[Names]) -> Lines:
    """What each kind of layer reads, made once, then the layers."""
    kinds = [
        _prepare_all(variants[0], program, kind_names)
        for variants, kind_names in zip(program.variants, names, strict=True)
    ]
    lines: Lines = []
    arguments = ["x"]
    for group in GROUPS:
        if not any(group in kind for kind in kinds):
            continue
        assigned, argument = _assign_by_kind([kind.get(group) for kind in kinds])
        lines += assigned
        arguments.append(argument)
    loop = "for block in self.layers:"
    if any("[kind]" in argument for argument in arguments):
        kinds_of_layers = "self.kinds" if program.mesh.axis("pp") else "LAYER_KINDS"
        loop = f"for block, kind in zip(self.layers, {kinds_of_layers}, strict=True):"
    return [*lines, loop, f"    x = block({', '.join(arguments)})"]


def _assign_by_kind(kinds: list[Prepared | None]) -> tuple[Lines, str]:
    """`cos, sin = expression` where all kinds agree, else a tuple `rotations` with an entry per
    kind; and how a layer is given its own. `kinds` are of one group, None where one has none."""
    one = next(kind for kind in kinds if kind is not None)
    lines = [one.before] if one.before else []
    texts = ["()" if kind is None else kind.text for kind in kinds]
    names = ", ".join(one.names)
    if len(set(texts)) == 1:
        return [*lines, f"{names} = {texts[0]}"], names
    unpacked = "*" if len(one.names) > 1 else ""
    if None in kinds and not unpacked:
        texts, unpacked = [f"({text},)" if text != "()" else text for text in texts], "*"
    rows = (f"    {text}," for text in texts)
    return [*lines, f"{one.group} = (", *rows, ")"], f"{unpacked}{one.group}[kind]"
