"""One step's data, whatever rank reads it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The global batch, all [sequences, seq]. A target below 0 is not counted."""

    tokens: Tensor
    targets: Tensor
    documents: Tensor
    positions: Tensor

    def named(self) -> dict[str, Tensor]:
        """By the names that blocks give their side inputs."""
        return {
            "tokens": self.tokens,
            "targets": self.targets,
            "documents": self.documents,
            "positions": self.positions,
            "key_documents": self.documents,
            "key_positions": self.positions,
        }

    def microbatch(self, index: int, count: int) -> Batch:
        """The `index`-th of `count` equal parts."""

        def part(whole: Tensor) -> Tensor:
            return whole.tensor_split(count)[index]

        return Batch(
            part(self.tokens), part(self.targets), part(self.documents), part(self.positions)
        )
