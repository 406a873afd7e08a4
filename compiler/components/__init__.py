"""One file per component: a short composition of operators, built from its schema entry.

A component is a function `(Builder, entry, value) -> value` that declares its dimensions and
parameters and appends nodes. A dimension is declared here only (`builder.dim`): its constant in the
program, its comment there and its size in the twin follow. To add a component: an entry in
`compiler/schema/model.py`; a file here, or a case in the one of its kind (`ffn.py` has all of what
`ffn` may be); a clause in `backends/reference`; its tests.
"""
