"""model.py from the block programs: declarations, and a forward of one line a statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from backends.pytorch.lines import Scope, assignment, value_of
from backends.pytorch.names import Constants, Names
from backends.pytorch.operators.attention import mask
from backends.pytorch.operators.rope import angles
from backends.pytorch.selections import made_again, selections
from backends.pytorch.weights import declaration
from backends.pytorch.wrapping import LINE_LENGTH
from compiler.operators import Attention, Rope, Softcap
from compiler.rank_program import (
    BlockProgram,
    Checkpoint,
    Compute,
    LocalParameter,
    RankProgram,
    Region,
)

Lines = list[str]


@dataclass(frozen=True)
class ModelText:
    """What the template of model.py is filled with: lists of lines, unindented."""

    blocks: tuple[BlockText, ...]
    embedding: Lines  # declarations
    layers: Lines
    head: Lines
    embed: Lines  # of the forward: tokens -> x
    run: Lines  # x -> x through the layers
    finish: Lines  # x -> what the loss is made of
    losses: Lines
    chunk: ChunkText
    hidden_value: str
    next_logits: str  # of `last` [d_model]


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


@dataclass(frozen=True)
class ChunkText:
    """The function that a region applies to every piece."""

    name: str
    arguments: str
    lines: Lines


def model_text(program: RankProgram, constants: Constants) -> ModelText:
    several = len(program.variants) > 1
    names = [
        Names(constants, dict(kind.sizes), f"_{index}" if several else "")
        for index, (kind, *_) in enumerate(program.variants)
    ]
    region = _region(program.head)
    head = next(p for p in program.head.parameters if p.name == region.whole[0])
    finish, scope = _finish(program, constants)
    return ModelText(
        blocks=tuple(
            block
            for kinds, kind_names in zip(program.variants, names, strict=True)
            for block in _variants(program, kinds, kind_names)
        ),
        embedding=_embedding_declarations(program, constants),
        layers=_layer_declarations(program, constants),
        head=_declarations(program.head, program, _names(program, program.head, constants)),
        embed=_embed(program, constants),
        run=_layer_loop(program, names),
        finish=finish,
        losses=_losses(region, scope, bool(program.mesh.axis("pp"))),
        chunk=_chunk(program, region, constants),
        hidden_value=scope.texts[region.sliced[0]],
        next_logits=_next_logits(region, head, scope),
    )


def _region(head: BlockProgram) -> Region:
    """The head ends in the region that makes the loss of one piece of the sequence."""
    last = head.statements[-1]
    if not isinstance(last, Region) or len(last.whole) != 1:
        raise ValueError("the head does not end in a chunked loss over one matrix")
    return last


def _next_logits(region: Region, head: LocalParameter, scope: Scope) -> str:
    """All logits of one position, capped as the loss's are."""
    logits = f"F.linear(last, {scope.texts[head.name]})"
    if head.layout.sharding_atoms():
        logits = f'all_gather({logits}, "tp", 0)'
    computes = (s for s in region.statements if isinstance(s, Compute))
    capped = any(isinstance(s.operator, Softcap) for s in computes)
    return f"softcap({logits}, LOGIT_SOFTCAP)" if capped else logits


def _names(program: RankProgram, block: BlockProgram, constants: Constants) -> Names:
    return Names(constants, dict(block.sizes))


def _variants(
    program: RankProgram, kinds: tuple[BlockProgram, ...], names: Names
) -> Iterator[BlockText]:
    """A class that computes, and for each other way to recompute one that derives from it.

    What a layer is to keep is marked in its lines; where all of it runs again, marks change
    nothing, and the lines of another way serve.
    """
    made = [_block(program, kind, names) for kind in kinds]
    marked = next((block for block in made if block.checkpoint == "selective"), None)
    if marked is not None:
        is_full = (block.checkpoint == "full" for block in made)
        made = [
            replace(block, forward=marked.forward) if full else block
            for block, full in zip(made, is_full, strict=True)
        ]
    yield made[0]
    yield from (replace(block, base=made[0]) for block in made[1:])


def _block(program: RankProgram, block: BlockProgram, names: Names) -> BlockText:
    policy = _checkpoint(block, program)
    scope = Scope(program.mesh, names, {}, marks=policy == "selective")
    for value in block.inputs:
        scope.know(value, value.name)
    _know_parameters(scope, block.parameters, {p.name: f"self.{p.name}" for p in block.parameters})
    lines: Lines = []
    *body, last = block.statements
    for statement in body:
        if isinstance(statement, Region):
            raise ValueError(f"{block.name}: a region inside a layer")
        lines.append(assignment(statement, scope))
    if isinstance(last, Region):
        raise ValueError(f"{block.name}: a layer that ends in a region")
    lines.append(f"return {value_of(last, scope)}")
    arguments = ["x", *(["cos", "sin"] if rope_of(block) else [])]
    arguments += ["mask"] if attention_of(block) else []
    index = program.kinds.index(block)
    says = "One layer" + (" of its kind" if len(program.variants) > 1 else "")
    return BlockText(
        f"Block{index}" if len(program.kinds) > 1 else "Block",
        f"{says}, where recompute is {block.recompute}." if block.recompute else f"{says}.",
        _declarations(block, program, names),
        ", ".join(f"{name}: {'Mask' if name == 'mask' else 'Tensor'}" for name in arguments),
        ", ".join(arguments),
        lines,
        policy,
        keeper_of(block, program),
        bool(block.recompute),
    )


def keeper_of(block: BlockProgram, program: RankProgram) -> str:
    """`kept`, and where what it keeps differs, `kept_1` for the second selection and so on."""
    policies = selections(program)
    again = made_again(block)
    number = policies.index(again) if again in policies else 0
    return f"kept_{number}" if number else "kept"


def _checkpoint(block: BlockProgram, program: RankProgram) -> Literal["", "selective", "full"]:
    for node in program.delegated:
        if isinstance(node, Checkpoint) and node.block == block.name:
            return node.policy
    return ""


def rope_of(block: BlockProgram) -> Rope | None:
    """The rotary operator of a layer; q and k share one."""
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Rope):
            return statement.operator
    return None


def attention_of(block: BlockProgram) -> Attention | None:
    for statement in block.statements:
        if isinstance(statement, Compute) and isinstance(statement.operator, Attention):
            return statement.operator
    return None


def _know_parameters(
    scope: Scope, parameters: Iterable[LocalParameter], texts: Mapping[str, str]
) -> None:
    for parameter in parameters:
        scope.texts[parameter.name] = texts[parameter.name]
        scope.dims[parameter.name] = parameter.dims
        scope.layouts[parameter.name] = parameter.layout


def _declarations(block: BlockProgram, program: RankProgram, names: Names) -> Lines:
    """`self.attention = Weights(wq=..., ...)`, one attribute a dotted prefix."""
    groups: dict[str, list[str]] = {}
    for parameter in block.parameters:
        if not parameter.tied_to:
            group, _, name = parameter.name.rpartition(".")
            text = declaration(parameter, block, program.mesh, names)
            groups.setdefault(group, []).append(f"{name}={text}")
    lines: Lines = []
    for group, weights in groups.items():
        line = f"self.{group} = Weights({', '.join(weights)})"
        if len(line) + 8 <= LINE_LENGTH:
            lines.append(line)
        else:
            lines += [f"self.{group} = Weights(", *(f"    {weight}," for weight in weights), ")"]
    return lines


def _embedding_declarations(program: RankProgram, constants: Constants) -> Lines:
    (table,) = program.embedding.parameters
    names = _names(program, program.embedding, constants)
    text = declaration(table, program.embedding, program.mesh, names)
    return [f"self.embedding = Weights({table.name}={text})"]


def _layer_declarations(program: RankProgram, constants: Constants) -> Lines:
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
            chosen, classes = _of_the_stage(program), _chosen(program)
        else:
            classes = f"({kinds})" if several else "Block"
        block = f"{classes}[LAYER_KINDS[i]]()" if several else f"{classes}()"
        inner = f"{{str(i): {block} for s in own for i in layers_of(s)}}"
        return [*chosen, f"self.layers = nn.ModuleDict({inner})"]
    if several:
        return [f"self.layers = nn.ModuleList(({kinds})[kind]() for kind in LAYER_KINDS)"]
    return ["self.layers = nn.ModuleList(Block() for _ in range(LAYERS))"]


def _chosen(program: RankProgram) -> str:
    return "layer" if len(program.variants) == 1 else "kinds"


def _of_the_stage(program: RankProgram) -> Lines:
    """The classes of layers of this rank's stages, by how they recompute."""
    by_kind = [[f"Block{program.kinds.index(k)}" for k in kinds] for kinds in program.variants]
    rows: Lines = []
    for way, classes in zip(program.variants[0], zip(*by_kind, strict=True), strict=True):
        one = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
        rows.append(f'    "{way.recompute}": {one},')
    name = _chosen(program)
    return [f"{name} = {{", *rows, '}[RECOMPUTE[coordinate("pp")]]']


def _embed(program: RankProgram, constants: Constants) -> Lines:
    embedding = program.embedding
    scope = Scope(program.mesh, _names(program, embedding, constants), {})
    for value in embedding.inputs:
        scope.know(value, "x" if program.mesh.axis("pp") else value.name)
    _know_parameters(scope, embedding.parameters, {"weight": "self.embedding.weight"})
    lines: Lines = []
    for statement in embedding.statements:
        if isinstance(statement, Region):
            raise ValueError("a region inside the embedding")
        lines.append(assignment(statement, scope, "x"))
    return lines


def _finish(program: RankProgram, constants: Constants) -> tuple[Lines, Scope]:
    """What the head does before its region."""
    head = program.head
    scope = Scope(program.mesh, _names(program, head, constants), {})
    for value in head.inputs:
        scope.know(value, value.name)
    _know_parameters(
        scope, head.parameters, {p.name: f"self.{p.tied_to or p.name}" for p in head.parameters}
    )
    lines: Lines = []
    for statement in head.statements[:-1]:
        if isinstance(statement, Region):
            raise ValueError("the head has two regions")
        lines.append(assignment(statement, scope))
    return lines, scope


def _layer_loop(program: RankProgram, names: list[Names]) -> Lines:
    """The angles and the mask of each kind of layer once, then the layers."""
    kinds = (variants[0] for variants in program.variants)
    pairs = list(zip(kinds, names, strict=True))
    rotations = [
        angles(rope, kind_names, kind.size("head_dim")) if (rope := rope_of(kind)) else "()"
        for kind, kind_names in pairs
    ]
    cuts = bool(program.mesh.axis("cp"))
    masks = [
        mask(attention, kind_names, cuts) if (attention := attention_of(kind)) else "None"
        for kind, kind_names in pairs
    ]
    lines: Lines = []
    arguments = ["x"]
    if set(rotations) != {"()"}:
        whole = "torch.arange(documents.shape[1], device=x.device)"
        own = "own_positions(key_documents.shape[1], x.device)"
        lines.append(f"positions = {own if cuts else whole}")
        lines += _of_kinds("cos, sin", "rotations", rotations)
        arguments.append("cos, sin" if len(rotations) == 1 else "*rotations[kind]")
    if set(masks) != {"None"}:
        lines += _of_kinds("mask", "masks", masks)
        arguments.append("mask" if len(set(masks)) == 1 else "masks[kind]")
    loop = "for block in self.layers:"
    if any("[kind]" in argument for argument in arguments):
        kinds = "self.kinds" if program.mesh.axis("pp") else "LAYER_KINDS"
        loop = f"for block, kind in zip(self.layers, {kinds}, strict=True):"
    return [*lines, loop, f"    x = block({', '.join(arguments)})"]


def _of_kinds(one: str, many: str, expressions: Lines) -> Lines:
    """`one = expression` where all kinds agree, else a tuple `many` by kind."""
    if len(set(expressions)) == 1 and (one == "mask" or len(expressions) == 1):
        return [f"{one} = {expressions[0]}"]
    return [f"{many} = (", *(f"    {expression}," for expression in expressions), ")"]


def _losses(region: Region, scope: Scope, is_stage: bool) -> Lines:
    """Apply the region to its pieces and add up."""
    sliced = ", ".join(scope.texts[name] for name in region.sliced)
    whole = ", ".join(scope.texts[name] for name in region.whole)
    return [
        f"pieces = (x.split(LOSS_CHUNK, dim=1) for x in ({sliced}))",
        "losses = [",
        f"    checkpoint(chunk_{region.name}, *piece, {whole}, use_reentrant=False)",
        "    for piece in zip(*pieces, strict=True)",
        "]",
        f"return torch.stack(losses).sum(){'[None]' if is_stage else ''}",
    ]


def _chunk(program: RankProgram, region: Region, constants: Constants) -> ChunkText:
    """The region's statements as a function of its pieces and of what it reads whole."""
    head = program.head
    scope = Scope(program.mesh, _names(program, head, constants), {})
    for value in head.inputs:
        scope.know(value, value.name)
    for statement in head.statements[:-1]:
        scope.know(statement.output, statement.output.name)
    texts = {p.name: p.name.replace(".", "_") for p in head.parameters}
    _know_parameters(scope, head.parameters, texts)
    arguments = [scope.texts[name] for name in (*region.sliced, *region.whole)]
    *body, last = region.statements
    lines = [assignment(statement, scope) for statement in body]
    lines.append(f"return {value_of(last, scope)}")
    typed = ", ".join(f"{argument}: Tensor" for argument in arguments)
    return ChunkText(f"chunk_{region.name}", typed, lines)
