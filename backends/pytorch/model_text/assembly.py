"""What the template of model.py is filled with, put together from layers and ends."""

from __future__ import annotations

from dataclasses import dataclass

from backends.pytorch.lines import Lines
from backends.pytorch.model_text.ends import (
    ChunkText,
    embedding_declarations,
    loss_region,
    print_chunk,
    print_embedding,
    print_head,
    print_losses,
    print_next_logits,
)
from backends.pytorch.model_text.layers import (
    BlockText,
    layer_declarations,
    print_kind,
    print_layer_loop,
)
from backends.pytorch.names import Constants, Names
from backends.pytorch.weights import group_declarations
from compiler.rank_program import RankProgram


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


def model_text(program: RankProgram, constants: Constants) -> ModelText:
    several = len(program.variants) > 1
    names = [
        Names(constants, kind.dimensions, index if several else None)
        for index, (kind, *_) in enumerate(program.variants)
    ]
    region = loss_region(program.head)
    head = next(p for p in program.head.parameters if p.name == region.whole[0])
    finish, scope = print_head(program, constants)
    return ModelText(
        blocks=tuple(
            block
            for kinds, kind_names in zip(program.variants, names, strict=True)
            for block in print_kind(program, kinds, kind_names)
        ),
        embedding=embedding_declarations(program, constants),
        layers=layer_declarations(program, constants),
        head=group_declarations(
            program.head, program.mesh, Names(constants, program.head.dimensions)
        ),
        embed=print_embedding(program, constants),
        run=print_layer_loop(program, names),
        finish=finish,
        losses=print_losses(region, scope, bool(program.mesh.axis("pp"))),
        chunk=print_chunk(program, region, constants),
        hidden_value=scope.texts[region.sliced[0]],
        next_logits=print_next_logits(region, head, scope),
    )
