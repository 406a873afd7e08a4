"""What can be wrong with a plan: a module for each topic.

A problem is one frozen dataclass: its slug, templates for title and label, its facts as fields, and
a docstring that `llamac explain SLUG` prints. It shows its arithmetic and names the nearest legal
choices. Raise sites fill in facts and build no sentences. A new module in here is found by
`llamac explain` by itself.
"""
