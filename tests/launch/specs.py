"""A plan on several nodes, and its program in a folder."""

from __future__ import annotations

from pathlib import Path

from backends.emit import emit
from backends.program import Program
from tests.programs import support

TWO_NODES = support.TEXT.replace(
    "cluster here { node = cpu { devices = 4 } }",
    "cluster here { nodes = 2, node = cpu { devices = 2 } }",
)
GPU_NODES = (
    support.TEXT.replace(
        "cluster here { node = cpu { devices = 4 } }",
        """cluster here {
  nodes  = 4
  fabric = roce { bandwidth = 400Gbps }
  node   = gpus {
    devices = 8, link = 450GB/s
    accelerator = accelerator {
      name = "H100", memory = 80GB, memory_bandwidth = 3.35TB/s
      bf16 = 989TFLOPS, power = 700W, source = "data sheet"
    }
  }
}""",
    )
    .replace("dp = 2", "dp = 16")
    .replace("8 sequences", "32 sequences")
)


def program(*settings: tuple[str, str], text: str = TWO_NODES) -> Program:
    return emit(support.compiled(*settings, text=text))


def written(made: Program, folder: Path) -> Path:
    """The program in a folder whose name bash would split and expand."""
    return support.write(made, folder / "a $(touch canary) 'program")
