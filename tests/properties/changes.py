"""Changes of a rank program, to put a fault into one place of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from compiler.placement import Layout
from compiler.rank_program import (
    BlockProgram,
    Collective,
    Compute,
    Delegated,
    Fsdp,
    GradientSum,
    LocalParameter,
    NormGroup,
    RankProgram,
    Region,
    Statement,
    StepProgram,
)

Change = Callable[[RankProgram], RankProgram]


# Changes of the step program.


def step(change: Callable[[StepProgram], StepProgram]) -> Change:
    return lambda program: replace(program, step=change(program.step))


def sums(change: Callable[[GradientSum], GradientSum | None]) -> Change:
    return step(
        lambda s: replace(
            s, gradient_sums=tuple(new for old in s.gradient_sums if (new := change(old)))
        )
    )


def norm(change: Callable[[NormGroup], NormGroup | None]) -> Change:
    return step(lambda s: replace(s, norm=tuple(new for old in s.norm if (new := change(old)))))


def fsdp(change: Callable[[Fsdp], Fsdp]) -> Change:
    def changed(node: Delegated) -> Delegated:
        return change(node) if isinstance(node, Fsdp) else node

    return lambda program: replace(program, delegated=tuple(map(changed, program.delegated)))


# Changes of the block programs.


def line(output: str, **fields: object) -> Change:
    """Other fields for the statement that makes `output`, wherever it stands."""

    def replaced(line: Compute | Collective) -> Compute | Collective:
        made = (value.name for value in line.outputs)
        return replace(line, **fields) if output in made else line

    def changed(statement: Statement) -> Statement:
        match statement:
            case Region():
                return replace(statement, statements=tuple(map(replaced, statement.statements)))
            case Compute() | Collective():
                return replaced(statement)

    return _blocks(lambda block: replace(block, statements=tuple(map(changed, block.statements))))


def region(chunks: int) -> Change:
    def changed(statement: Statement) -> Statement:
        return replace(statement, chunks=chunks) if isinstance(statement, Region) else statement

    return _blocks(lambda block: replace(block, statements=tuple(map(changed, block.statements))))


def weight(name: str, layout: Layout) -> Change:
    def changed(old: LocalParameter) -> LocalParameter:
        return replace(old, layout=layout) if old.name == name else old

    return _blocks(lambda block: replace(block, parameters=tuple(map(changed, block.parameters))))


def _blocks(change: Callable[[BlockProgram], BlockProgram]) -> Change:
    return lambda program: replace(
        program,
        embedding=change(program.embedding),
        kinds=tuple(map(change, program.kinds)),
        head=change(program.head),
    )
