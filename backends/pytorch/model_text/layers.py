"""The layers of model.py: one class for each kind, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from backends.pytorch.lines import Lines, Scope, assignment, value_of
from backends.pytorch.names import Constants, Names
from backends.pytorch.operators.attention import mask
from backends.pytorch.operators.rope import angles
from backends.pytorch.selections import made_again, selections
from backends.pytorch.weights import group_declarations
from compiler.operators import Attention, Rope
from compiler.rank_program import BlockProgram, Checkpoint, Compute, RankProgram, Region


@dataclass(frozen=True)
class BlockText:
    """One kind of layer."""

    name: str
    says: str  # its docstring
    declarations: Lines
    arguments: str  # of its forward, typed
    call: str  # the same, to pass on
    forward: Lines
    checkpoint: Literal["", "selective", "full"]
    keeper: str  # the function that keeps for the backward what is selected
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

    What a layer is to keep is marked in its lines; where all of it runs again, marks change
    nothing, and the lines of another way serve.
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
    arguments = ["x", *(["cos", "sin"] if _rope_of(block) else [])]
    arguments += ["mask"] if _attention_of(block) else []
    index = program.kinds.index(block)
    says = "One layer" + (" of its kind" if len(program.variants) > 1 else "")
    return BlockText(
        f"Block{index}" if len(program.kinds) > 1 else "Block",
        f"{says}, where recompute is {block.recompute}." if block.recompute else f"{says}.",
        group_declarations(block, program.mesh, names),
        ", ".join(f"{name}: {'Mask' if name == 'mask' else 'Tensor'}" for name in arguments),
        ", ".join(arguments),
        lines,
        policy,
        _keeper(block, program),
        bool(block.recompute),
    )


def _keeper(block: BlockProgram, program: RankProgram) -> str:
    """`kept`, and where what it keeps differs, `kept_1` for the second selection and so on."""
    policies = selections(program)
    again = made_again(block)
    number = policies.index(again) if again in policies else 0
    return f"kept_{number}" if number else "kept"


def _checkpoint_policy(
    block: BlockProgram, program: RankProgram
) -> Literal["", "selective", "full"]:
    for node in program.delegated:
        if isinstance(node, Checkpoint) and node.block == block.name:
            return node.policy
    return ""


def _rope_of(block: BlockProgram) -> Rope | None:
    """The rotary operator of a layer; q and k share one."""
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Rope):
            return statement.operator
    return None


def _attention_of(block: BlockProgram) -> Attention | None:
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Attention):
            return statement.operator
    return None


def layer_declarations(program: RankProgram, constants: Constants) -> Lines:
    """All layers; under a pipeline those of the rank's own stages, by their number."""
    several = len(program.variants) > 1
    ways = len(program.variants[0])
    if several:
        constants.set("LAYER_KINDS", tuple(kind // ways for kind in program.layers))
    elif not program.mesh.axis("pp"):
        constants.set("LAYERS", len(program.layers))
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


def print_layer_loop(program: RankProgram, names: list[Names]) -> Lines:
    """The angles and the mask of each kind of layer once, then the layers."""
    kinds = (variants[0] for variants in program.variants)
    pairs = list(zip(kinds, names, strict=True))
    rotations = [
        angles(rope, kind_names, kind.size("head_dim")) if (rope := _rope_of(kind)) else "()"
        for kind, kind_names in pairs
    ]
    cuts = bool(program.mesh.axis("cp"))
    masks = [
        mask(attention, kind_names, cuts) if (attention := _attention_of(kind)) else "None"
        for kind, kind_names in pairs
    ]
    lines: Lines = []
    arguments = ["x"]
    if set(rotations) != {"()"}:
        whole = "torch.arange(documents.shape[1], device=x.device)"
        own = "own_positions(key_documents.shape[1], x.device)"
        lines.append(f"positions = {own if cuts else whole}")
        lines += _assign_by_kind("cos, sin", "rotations", rotations)
        arguments.append("cos, sin" if len(rotations) == 1 else "*rotations[kind]")
    if set(masks) != {"None"}:
        lines += _assign_by_kind("mask", "masks", masks)
        arguments.append("mask" if len(set(masks)) == 1 else "masks[kind]")
    loop = "for block in self.layers:"
    if any("[kind]" in argument for argument in arguments):
        kinds = "self.kinds" if program.mesh.axis("pp") else "LAYER_KINDS"
        loop = f"for block, kind in zip(self.layers, {kinds}, strict=True):"
    return [*lines, loop, f"    x = block({', '.join(arguments)})"]


def _assign_by_kind(one: str, many: str, expressions: Lines) -> Lines:
    """`one = expression` where all kinds agree, else a tuple `many` by kind."""
    if len(set(expressions)) == 1 and (one == "mask" or len(expressions) == 1):
        return [f"{one} = {expressions[0]}"]
    return [f"{many} = (", *(f"    {expression}," for expression in expressions), ")"]
