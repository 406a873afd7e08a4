"""Plan, graph -> RankProgram: the same operators with local sizes and every collective written out.

`redistribute` names the collectives between two placements, and `moves` orders them over the atoms
of a value; `block` walks a block's operators and inserts them; `step` derives what happens once per
step. Nothing here decides: cuts come from the plan, rules from the operators. A new axis is a new
entry in the plan's cuts, not a branch here.
"""

from compiler.lower.program import lower

__all__ = ["lower"]
