"""What selective checkpoints save by torch's names: the outputs of operators that have such a name
and are not recomputed."""

from __future__ import annotations

from backends.pytorch.operators import SAVED_BY_NAME
from compiler.rank_program import BlockProgram, Checkpoint, Compute, Kept, RankProgram


def saved_by_name(block: BlockProgram) -> tuple[str, ...]:
    """Torch's names of the operators whose outputs a kind of layer saves."""
    computes = (s for s in block.statements if isinstance(s, Compute))
    again = {
        s.operator.name for s in computes if Kept.RECOMPUTED in {value.kept for value in s.outputs}
    }
    return tuple(
        torch_name
        for name, torch_names in SAVED_BY_NAME.items()
        if name not in again
        for torch_name in torch_names
    )


def selections(program: RankProgram) -> tuple[tuple[str, ...], ...]:
    """What is saved by name, each set once: the printed policies differ only in this."""
    selective = {
        node.block
        for node in program.delegated
        if isinstance(node, Checkpoint) and node.policy == "selective"
    }
    found = (saved_by_name(kind) for kind in program.kinds if kind.name in selective)
    return tuple(dict.fromkeys(found))
