"""The ends of model.py: the embedding, and the head with its loss in chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backends.pytorch.lines import Lines, Scope, assignment, value_of
from backends.pytorch.names import Constants, Names
from backends.pytorch.weights import declaration
from compiler.rank_program import BlockProgram, Compute, LocalParameter, RankProgram, Region


@dataclass(frozen=True)
class ChunkText:
    """The function that a region applies to every piece."""

    name: str
    arguments: str
    lines: Lines


def loss_region(head: BlockProgram) -> Region:
    """The head ends in the region that makes the loss of one piece of the sequence."""
    last = head.statements[-1]
    if not isinstance(last, Region) or len(last.whole) != 1:
        raise ValueError("the head does not end in a chunked loss over one matrix")
    return last


def embedding_declarations(program: RankProgram, constants: Constants) -> Lines:
    (table,) = program.embedding.parameters
    names = Names(constants, program.embedding.dimensions)
    text = declaration(table, program.mesh, names)
    return [f"self.embedding = ParameterGroup({table.name}={text})"]


def print_embedding(program: RankProgram, constants: Constants) -> Lines:
    embedding = program.embedding
    scope = Scope(program.mesh, Names(constants, embedding.dimensions), {})
    for value in embedding.inputs:
        scope.know(value, "x" if program.mesh.axis("pp") else value.name)
    scope.know_parameters(embedding.parameters, {"weight": "self.embedding.weight"})
    lines: Lines = []
    for statement in embedding.statements:
        if isinstance(statement, Region):
            raise ValueError("a region inside the embedding")
        lines += assignment(statement, scope, "x")
    return lines


def print_head(program: RankProgram, constants: Constants) -> tuple[Lines, Scope]:
    """What the head does before its region."""
    head = program.head
    scope = Scope(program.mesh, Names(constants, head.dimensions), {})
    for value in head.inputs:
        scope.know(value, value.name)
    scope.know_parameters(
        head.parameters, {p.name: f"self.{p.tied_to or p.name}" for p in head.parameters}
    )
    lines: Lines = []
    for statement in head.statements[:-1]:
        if isinstance(statement, Region):
            raise ValueError("the head has two regions")
        lines += assignment(statement, scope)
    return lines, scope


def print_next_logits(region: Region, head: LocalParameter, scope: Scope) -> str:
    """All logits of one position, and what the loss does with each before it compares them."""
    text = f"F.linear(last, {scope.texts[head.name]})"
    if head.layout.sharding_atoms():
        text = f'all_gather({text}, "tp", 0)'
    product, *rest = region.statements
    (logits,) = product.outputs
    own = replace(scope, texts=dict(scope.texts))
    for statement in rest:
        match statement:
            case Compute(inputs=(name,), outputs=(output,)) if name == logits.name:
                if output.dims != logits.dims:
                    break
                own.know(logits, text)
                text, logits = value_of(statement, own), output
            case _:
                break
    return text


def print_losses(region: Region, scope: Scope, is_stage: bool) -> Lines:
    """Apply the region to its pieces and add up."""
    sliced = ", ".join(scope.texts[name] for name in region.sliced)
    whole = ", ".join(scope.texts[name] for name in region.whole)
    return [
        f"pieces = (whole.split(LOSS_CHUNK, dim=1) for whole in ({sliced}))",
        "losses = [",
        f"    checkpoint(chunk_{region.name}, *piece, {whole}, use_reentrant=False)",
        "    for piece in zip(*pieces, strict=True)",
        "]",
        f"return torch.stack(losses).sum(){'[None]' if is_stage else ''}",
    ]


def print_chunk(program: RankProgram, region: Region, constants: Constants) -> ChunkText:
    """The region's statements as a function of its pieces and of what it reads whole."""
    head = program.head
    scope = Scope(program.mesh, Names(constants, head.dimensions), {})
    for value in head.inputs:
        scope.know(value, value.name)
    for statement in head.statements[:-1]:
        for value in statement.outputs:
            scope.know(value, value.name)
    texts = {p.name: p.name.replace(".", "_") for p in head.parameters}
    scope.know_parameters(head.parameters, texts)
    arguments = [scope.texts[name] for name in (*region.sliced, *region.whole)]
    *body, last = region.statements
    lines = [line for statement in body for line in assignment(statement, scope)]
    lines.append(f"return {value_of(last, scope)}")
    typed = ", ".join(f"{argument}: Tensor" for argument in arguments)
    return ChunkText(f"chunk_{region.name}", typed, lines)
