"""Spec -> Plan: the mesh, the cuts, the batch arithmetic, each value with its reason.

`mesh` spreads the ranks, `batch` divides the batch and the run, `cuts` assigns named dimensions to
atoms and refuses what does not divide. A new decision is a `Decision` appended where it is made;
a new refusal is a Problem in `compiler/problems/`.
"""

from compiler.planner.models import check_model
from compiler.planner.plan import plan

__all__ = ["check_model", "plan"]
