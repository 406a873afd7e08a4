"""One file a component: a short composition of operators, built from its schema entry.

A component is a function `(Builder, entry, value) -> value` that declares its parameters and
appends nodes. To add one: an entry in `compiler/schema/model.py`; a file here, or a case in the one
of its kind (`ffn.py` has all of what `ffn` may be); a clause in `backends/reference`; its tests.
"""
