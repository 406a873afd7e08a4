"""What selective checkpoints keep: of the operators that the policy knows by torch's names, those
that are not made again."""

from __future__ import annotations

from compiler.rank_program import BlockProgram, Checkpoint, Compute, Kept, RankProgram

KNOWN = ("attention", "linear")
"""Operators whose outputs the policy keeps by name; other lines are marked with `keep(...)`."""


def made_again(block: BlockProgram) -> tuple[str, ...]:
    """The known operators of a kind whose outputs its backward computes again."""
    computes = (s for s in block.statements if isinstance(s, Compute))
    again = {
        s.operator.name for s in computes if Kept.RECOMPUTED in {value.kept for value in s.outputs}
    }
    return tuple(name for name in KNOWN if name in again)


def selections(program: RankProgram) -> tuple[tuple[str, ...], ...]:
    """What is made again, each set once: the printed policies differ in this alone."""
    selective = {
        node.block
        for node in program.delegated
        if isinstance(node, Checkpoint) and node.policy == "selective"
    }
    found = (made_again(kind) for kind in program.kinds if kind.name in selective)
    return tuple(dict.fromkeys(found))
