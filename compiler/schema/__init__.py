"""What a spec may contain: a frozen dataclass a block, component or node; its fields are the rows.

Every consumer (checker, canonical form, docs, twin, reference) reads these types. To add a field,
add a row and its use; to add a component, an entry in the union of the field that accepts it.
"""

from compiler.schema.cluster import ClusterSpec, CpuNode, GpuNode
from compiler.schema.model import ModelSpec
from compiler.schema.plan import PlanSpec
from compiler.schema.train import TrainSpec

BLOCKS = {"model": ModelSpec, "cluster": ClusterSpec, "train": TrainSpec, "plan": PlanSpec}
NODES = (GpuNode, CpuNode)
"""Entries that a `let` of a library file may name (`std/hardware`)."""

__all__ = ["BLOCKS", "NODES", "ClusterSpec", "ModelSpec", "PlanSpec", "TrainSpec"]
