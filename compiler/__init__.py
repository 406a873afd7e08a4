"""The compiler: Spec -> ModelGraph -> Plan -> RankProgram -> proof. Imports dsl, never torch.

`pipeline.py` is the whole of it on one page. `schema/` says what a spec may contain, `std/` holds
the specs that ship, `operators/` what each operator needs and makes, `planner/` and `lower/` are
the two passes. A component of existing operators is one file in `components/`.
"""

LLAMAC_FLOOR = "llamac.compiler"
