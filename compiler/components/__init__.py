"""One file a component: a short composition of operators, built from its schema entry.

A component is a function `(Builder, entry, value) -> value` that declares its parameters and
appends nodes. To add one: an entry in `compiler/schema/model.py`, a file here, its case in
`build_graph.py`, a clause in `backends/reference`, and its tests.
"""
