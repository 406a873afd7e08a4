"""What can be wrong with names, blocks, values and files: a module for each topic.

A problem is one frozen dataclass: its slug, templates for title and label, its facts as fields, and
a docstring that `llamac explain SLUG` prints. Raise sites fill in facts and build no sentences.
Problems of the syntax, of units and of arithmetic are beside what finds them (`dsl/syntax.py`,
`dsl/units.py`, `dsl/evaluate.py`). A new module in here is found by `llamac explain` by itself.
"""
